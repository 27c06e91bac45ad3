// Kept documents by HTTP, by protobuf's JSON mapping of the messages of longspan.v1:
//
//   PUT    /collections/NAME/documents   {"documents": [{"id": "a", "text": "..."}], "options": {}}
//   POST   /collections/NAME/delete      {"ids": ["a"]}
//   DELETE /collections/NAME             with all its documents
//   GET    /collections                  the caller's own
//
// POST /collections/NAME/search is in search_route.h.
//
// Free functions without state: thread safe.
#pragma once

#include "server/http/http_server.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// `parts` outlives the server.
void AddCollectionRoutes(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
