#include "server/http/probes.h"

namespace longspan {
namespace {

// The answer of a probe: 200, or 503 with the reason, to be asked again in a second.
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

void AddProbeRoutes(const ProbeSources& sources, HttpServer* http, bool need_keys) {
  const RouteOptions options{.needs_key = need_keys};
  http->AddRoute(
      "GET", "/metrics",
      [sources](const HttpRequest&) {
        return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                            .body = sources.metrics()};
      },
      options);
  http->AddRoute(
      "GET", "/startupz",
      [sources](const HttpRequest&) {
        const Lifecycle::Phase phase = sources.lifecycle->phase();
        return Verdict(phase != Lifecycle::Phase::kStarting, PhaseName(phase));
      },
      options);
  http->AddRoute(
      "GET", "/readyz",
      [sources](const HttpRequest&) {
        return Verdict(sources.ready(), sources.live() ? PhaseName(sources.lifecycle->phase())
                                                       : "a worker is stuck");
      },
      options);
  http->AddRoute(
      "GET", "/healthz",
      [sources](const HttpRequest&) {
        if (!sources.live()) return Verdict(false, "a worker is stuck");
        const absl::Status dialled = sources.dial();
        return Verdict(dialled.ok(), std::string(dialled.message()));
      },
      options);
}

}  // namespace longspan
