// The page for people: at / a document, at /page/NAME what it is made of. A browser loads it from
// this server alone: the content security policy forbids every other host, code inside the
// document, and frames. It calls the JSON routes of the same port; its own files are public.
//
// Thread safety: AddPageRoutes before HttpServer::Start.
#pragma once

#include "server/http/http_server.h"

namespace longspan {

// `need_keys`: of callers that show a key, alone (RouteOptions::needs_key). No browser shows one
// for a document, so people then need a proxy that adds it.
void AddPageRoutes(HttpServer* http, bool need_keys = false);

}  // namespace longspan
