// POST /encode_stream: EncodeStream of longspan.v1 over HTTP. The body is lines of JSON
// (application/x-ndjson), each an EncodeStreamRequest; so is the answer, each line an
// EncodeStreamResponse, as they are ready. It has the flow control of the gRPC stream
// (item_stream.h): a caller that does not read its answers while it writes is made to wait, and
// its connection is closed in the end.
//
// An item that failed has its status in its line. Where the stream as a whole fails, the last line
// is {"error":{...}}.
//
// Free functions without state: thread safe.
#pragma once

#include "server/http/http_server.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// `parts` outlives the server.
void AddEncodeLinesRoute(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
