// AddRestRoutes: all JSON APIs of the HTTP port: OpenAI's (openai_routes.h), Cohere's
// (cohere_routes.h), that of text-embeddings-inference (tei_routes.h), ours (longspan_routes.h,
// encode_lines.h, search_route.h), that of rerankers (rerank_routes.h), and what describes them,
// GET /openapi.json (openapi.h). What shows it to people is in docs_page.h.
//
// A free function without state: thread safe.
#pragma once

#include <functional>

#include "server/http/http_server.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// `parts` outlives the server. `ready`: whether the server serves.
void AddRestRoutes(const ServiceParts* parts, const std::function<bool()>& ready, HttpServer* http);

}  // namespace longspan
