// HealthService: our own grpc.health.v1.Health. The one built into gRPC 1.51 holds Server::Shutdown
// for its whole deadline while a Watch is open; here FinishWatches ends every Watch.
//
// The names "" and that of each service tell readiness: the server takes work. The name "liveness"
// tells that the process is not broken. A probe reads a flag and never touches the compute queue.
//
// Watch sends the status at once and then each change. An unknown name gets SERVICE_UNKNOWN and its
// Watch stays open.
//
// Thread safety: all methods may be called from any thread. Must outlive the gRPC server that it is
// registered with.
#pragma once

#include <grpc/health/v1/health.grpc.pb.h>

#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

inline constexpr char kLivenessService[] = "liveness";
inline constexpr char kEncoderServiceName[] = "longspan.v1.EncoderService";

class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // `services`: the names that tell readiness, beside "".
  explicit HealthService(std::set<std::string> services);

  void SetReady(bool ready);
  void SetLive(bool live);
  bool ready() const;
  bool live() const;
  // Sends the last status to every open Watch and ends it with OK. A Watch that comes later ends
  // after its first message.
  void FinishWatches();

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const grpc::health::v1::HealthListRequest* request,
                                 grpc::health::v1::HealthListResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  Status StatusLocked(const std::string& service) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void NotifyAll() ABSL_LOCKS_EXCLUDED(mu_);

  const std::set<std::string> services_;
  mutable absl::Mutex mu_;
  bool ready_ ABSL_GUARDED_BY(mu_) = false;
  bool live_ ABSL_GUARDED_BY(mu_) = true;
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  std::set<Watcher*> watchers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
