#include "server/http/probes.h"

#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace longspan {
namespace {

HttpResponse Verdict(bool good, const std::string& why_not) {
  if (good) return {.body = "ok\n"};
  return {.code = 503, .body = why_not + "\n", .headers = {{"Retry-After", "1"}}};
}

const char* PhaseName(Lifecycle::Phase phase) {
  switch (phase) {
    case Lifecycle::Phase::kStarting:
      return "starting";
    case Lifecycle::Phase::kServing:
      return "serving";
    case Lifecycle::Phase::kLeaving:
    case Lifecycle::Phase::kRefusing:
      return "draining";
  }
  return "unknown";
}

}  // namespace

absl::Status DialGrpc(const std::string& target, bool uses_tls, absl::Duration timeout) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                   1);  // a connection of its own, never one that still stands
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto channel =
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  const auto deadline = absl::ToChronoTime(absl::Now() + timeout);
  if (uses_tls) {
    // A plain channel cannot finish the handshake; that the port took the connection and answered
    // is what can be seen.
    grpc_connectivity_state state = channel->GetState(true);
    while (state == GRPC_CHANNEL_IDLE && channel->WaitForStateChange(state, deadline))
      state = channel->GetState(true);
    return state == GRPC_CHANNEL_IDLE ? absl::UnavailableError("the gRPC port does not answer")
                                      : absl::OkStatus();
  }
  grpc::ClientContext context;
  context.set_deadline(deadline);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(kLivenessService);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(channel)->Check(&context, request, &response);
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the gRPC port ", target, " does not answer: ", status.error_message()));
}

void AddProbeRoutes(const ProbeSources& sources, HttpServer* http) {
  http->AddRoute("GET", "/metrics", [sources](const HttpRequest&) {
    return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                        .body = sources.metrics->Text()};
  });
  http->AddRoute("GET", "/startupz", [sources](const HttpRequest&) {
    const Lifecycle::Phase phase = sources.lifecycle->phase();
    return Verdict(phase != Lifecycle::Phase::kStarting, PhaseName(phase));
  });
  http->AddRoute("GET", "/readyz", [sources](const HttpRequest&) {
    return Verdict(sources.health->ready(), sources.health->live()
                                                ? PhaseName(sources.lifecycle->phase())
                                                : "a worker is stuck");
  });
  http->AddRoute("GET", "/healthz", [sources](const HttpRequest&) {
    if (!sources.health->live()) return Verdict(false, "a worker is stuck");
    const absl::Status dialled =
        DialGrpc(sources.grpc_target, sources.grpc_uses_tls, absl::Seconds(2));
    return Verdict(dialled.ok(), std::string(dialled.message()));
  });
}

}  // namespace longspan
