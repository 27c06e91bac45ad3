// AddRestRoutes: all JSON APIs of the HTTP port: OpenAI's (openai_routes.h), that of
// text-embeddings-inference (tei_routes.h), ours (longspan_routes.h, encode_lines.h), and what
// describes them: GET /openapi.json and GET /docs (openapi.h).
//
// A free function without state: thread safe.
#pragma once

#include <functional>

#include "server/http/http_server.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// `parts` outlives the server. `ready`: whether the server serves.
void AddRestRoutes(const ServiceParts* parts, std::function<bool()> ready, HttpServer* http);

}  // namespace longspan
