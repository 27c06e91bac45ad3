// GET /openapi.json: the JSON APIs as an OpenAPI 3.1 document. Requests are described by what reads
// them: the field tables of the routes (json_fields.h) and the descriptors of longspan.v1.
//
// Free functions without state: thread safe.
#pragma once

#include <string>

#include "server/http/http_server.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// The document as JSON text.
std::string OpenApiDocument(const ServerOptions& options);

// `parts` outlives the server.
void AddOpenApiRoutes(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
