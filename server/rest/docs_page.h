// GET /docs: /openapi.json for people, shown by Swagger UI out of the program itself. The content
// security policy forbids every other host.
//
// A free function without state: thread safe.
#pragma once

#include "server/http/http_server.h"

namespace longspan {

void AddDocsRoutes(HttpServer* http);

}  // namespace longspan
