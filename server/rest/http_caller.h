// What an HTTP request says of its caller: the headers x-request-id, traceparent, and
// x-request-timeout, the seconds that the caller waits, in place of gRPC's deadline.
//
// Free functions without state: thread safe.
#pragma once

#include "absl/status/status.h"
#include "server/http/http_message.h"
#include "server/rpc/call_record.h"

namespace longspan {

Caller HttpCallerOf(const HttpRequest& request);
// INVALID_ARGUMENT where x-request-timeout is there and no number above 0, or where
// content-encoding says that the body is compressed.
absl::Status CheckHttpHeaders(const HttpRequest& request);

}  // namespace longspan
