// The one table from absl::Status to what callers see: a gRPC status, whose google.rpc details
// (BadRequest, RetryInfo, ErrorInfo) travel in grpc-status-details-bin; the status of one item of a
// stream; an HTTP code. Handlers pass an absl::Status on and never choose a gRPC or HTTP code.
//
// Free functions without state: thread safe.
#pragma once

#include <google/rpc/status.pb.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace longspan {

// The codes of gRPC are 0 to 16, and those of absl are the same numbers.
inline constexpr size_t kNumCodes = 17;
// Number of a code; one that is not in the table counts as UNKNOWN.
size_t CodeIndex(absl::StatusCode code);
// Name of a code as gRPC and the metrics spell it: "OK", "INVALID_ARGUMENT", ...
std::string_view CodeName(absl::StatusCode code);

// Code, text, and the details that the status carries (error_details.h) as google.rpc messages.
// This is also what Encoding.status holds.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// Code, text and details; OK for OK.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The HTTP code of the same row of the table; 200 for OK.
int ToHttpCode(const absl::Status& status);

// The delay that the status names, for the trailer grpc-retry-pushback-ms and for the HTTP header
// Retry-After (whole seconds, rounded up). Empty where the status names none; but a
// RESOURCE_EXHAUSTED without one never succeeds, and gRPC's clients are told so ("-1"), who would
// send it again.
std::string RetryPushbackMs(const absl::Status& status);
std::string RetryAfterSeconds(const absl::Status& status);

}  // namespace longspan
