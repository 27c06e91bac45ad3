// The operator's pages: /metrics (Prometheus text), /startupz, /readyz, /healthz.
//   /startupz   200 once the server has been ready          /readyz   200 while it takes work
//   /healthz    200 while it is not broken: liveness is good and the gRPC port really answers when dialled
// A listener whose process ran out of file descriptors stays dead in gRPC 1.51 while the process
// lives: only a dial shows it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/http/http_server.h"
#include "server/lifecycle.h"
#include "server/rpc/health_service.h"
#include "server/telemetry/metrics.h"

namespace longspan {

struct ProbeSources {
  const Lifecycle* lifecycle = nullptr;
  const HealthService* health = nullptr;
  Metrics* metrics = nullptr;
  std::string grpc_target;     // "127.0.0.1:50051"
  bool grpc_uses_tls = false;  // then the dial ends with the TCP handshake
};

void AddProbeRoutes(const ProbeSources& sources, HttpServer* http);

// Opens a new connection and, without TLS, asks grpc.health.v1.Health/Check for "liveness". OK =
// somebody answered.
absl::Status DialGrpc(const std::string& target, bool uses_tls, absl::Duration timeout);

}  // namespace longspan
