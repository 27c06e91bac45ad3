// What all JSON routes have in common: the size of their bodies, keys, and calls from web pages.
// Thread safe.
#pragma once

#include "server/http/http_router.h"
#include "server/rpc/service_parts.h"

namespace longspan {

inline RouteOptions ApiRoute(const ServiceParts& parts) {
  return {.max_body_bytes = parts.options->max_request_bytes, .needs_key = true, .cors = true};
}

}  // namespace longspan
