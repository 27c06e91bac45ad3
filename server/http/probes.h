// The operator's pages:
//   /metrics    the metrics in Prometheus' text form
//   /startupz   200 once the server has been ready, else 503
//   /readyz     200 while it takes work, else 503
//   /healthz    200 while it is not broken, else 503: no worker is stuck or dead, and the gRPC port
//               answers a new connection
//
// Thread safety: AddProbeRoutes before HttpServer::Start. The sources are called from the HTTP
// server's threads, several at once.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "server/http/http_server.h"
#include "server/lifecycle.h"

namespace longspan {

// Where the pages come from. All are set; the lifecycle outlives the HTTP server.
struct ProbeSources {
  const Lifecycle* lifecycle = nullptr;
  std::function<bool()> ready;         // the server takes work
  std::function<bool()> live;          // no worker is stuck or dead
  std::function<absl::Status()> dial;  // OK where the gRPC port answers; may wait for it
  std::function<std::string()> metrics;
};

// `need_keys`: of callers that show a key, alone (RouteOptions::needs_key).
void AddProbeRoutes(const ProbeSources& sources, HttpServer* http, bool need_keys = false);

}  // namespace longspan
