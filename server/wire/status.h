// The one table from absl::Status to what callers see: a gRPC status with google.rpc details
// (BadRequest, RetryInfo, ErrorInfo) in grpc-status-details-bin, the status of one item of a
// stream, an HTTP code. Handlers never name a code themselves.
//
// Free functions without state: thread safe.
#pragma once

#include <google/rpc/status.pb.h>
#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace longspan {

// Name of a code as gRPC and the metrics spell it: "OK", "INVALID_ARGUMENT", ...
std::string_view CodeName(absl::StatusCode code);

// The details that the status carries (error_details.h) as google.rpc messages; the form of
// Encoding.status.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// Code, text and details; OK for OK.
grpc::Status ToGrpcStatus(const absl::Status& status);

// 200 for OK, else the HTTP code of the same row of the table.
int ToHttpCode(const absl::Status& status);

// Value of the trailer grpc-retry-pushback-ms and seconds of Retry-After (rounded up); empty where
// the status names no delay.
std::string RetryPushbackMs(const absl::Status& status);
std::string RetryAfterSeconds(const absl::Status& status);

}  // namespace longspan
