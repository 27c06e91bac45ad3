// HealthService: our own grpc.health.v1.Health. The one built into gRPC 1.51 holds Server::Shutdown
// for its whole deadline while a Watch is open; here FinishWatches ends every Watch.
//
// The names "" and that of each service tell readiness: the server takes work. The name "liveness"
// tells that the process is not broken. A probe reads a flag and never touches the compute queue.
//
// Watch sends the status at once and then each change. An unknown name gets SERVICE_UNKNOWN and its
// Watch stays open.
//
// Health asks for no key, so its requests are the only ones that anybody can send. They are read
// like all others (OpenCalls), and one of more than 4 KiB is refused.
//
// Thread safety: all methods may be called from any thread. Must outlive the gRPC server that it is
// registered with.
#pragma once

#include <grpc/health/v1/health.pb.h>

#include <functional>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/raw_service.h"

namespace longspan {

inline constexpr char kLivenessService[] = "liveness";
inline constexpr char kEncoderServiceName[] = "longspan.v1.EncoderService";
inline constexpr char kHealthServiceName[] = "grpc.health.v1.Health";

class HealthService final : public RawService {
 public:
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // `services`: the names that tell readiness, beside "". `calls` outlives the service.
  HealthService(std::set<std::string> services, OpenCalls* calls);

  void SetReady(bool ready);
  void SetLive(bool live);
  bool ready() const;
  bool live() const;
  // Sends the last status to every open Watch and ends it with OK. A Watch that comes later ends
  // after its first message.
  void FinishWatches();

 private:
  class Call;
  class CheckCall;
  class ListCall;
  class WatchCall;
  Status StatusLocked(const std::string& service) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void NotifyAll() ABSL_LOCKS_EXCLUDED(mu_);

  const std::set<std::string> services_;
  OpenCalls* const calls_;
  mutable absl::Mutex mu_;  // also guards the state of each call
  bool ready_ ABSL_GUARDED_BY(mu_) = false;
  bool live_ ABSL_GUARDED_BY(mu_) = true;
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  std::set<WatchCall*> watches_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
