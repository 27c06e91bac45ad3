// longspan.v1 over HTTP, by protobuf's JSON mapping, so that everything gRPC's callers can ask for
// can be asked for by curl: POST /encode, /encode_tokens, and GET /model for GetModelInfo.
// POST /encode_stream is in encode_lines.h.
//
// /encode_tokens answers with one EncodeTokensResponse, or, where the caller's header Accept names
// application/x-ndjson, with several below 1 MiB each, one a line, as gRPC does.
// options.max_answer_bytes is about gRPC's messages and is not read: an answer by HTTP may have any
// size that the server allows.
//
// Free functions without state: thread safe.
#pragma once

#include "absl/status/status.h"
#include "server/http/http_server.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// google.rpc.Status, as Google's own APIs write it:
//   {"error":{"code":400,"status":"INVALID_ARGUMENT","message":"...","details":[...]}}
HttpResponse LongspanRefusal(const absl::Status& status);

// `parts` outlives the server. `model`: what GET /model answers.
void AddLongspanRoutes(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
