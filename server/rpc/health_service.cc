#include "server/rpc/health_service.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace longspan {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListRequest;
using grpc::health::v1::HealthListResponse;

namespace {

// A Watch holds the name that it asks for until it ends, and needs no key. A longer name is known
// to nobody.
constexpr size_t kMaxServiceNameBytes = 1024;

}  // namespace

// One open Watch. The service's mutex guards all its state: writes are rare and tiny.
//
// At most one write is under way. When it is done, AdvanceLocked compares what was sent with the
// status of now. So a change during the write is not lost, and one that was undone meanwhile costs
// no message.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService* health, std::string service)
      : health_(health), service_(std::move(service)) {
    absl::MutexLock lock(&health_->mu_);
    health_->watchers_.insert(this);
    if (service_.size() > kMaxServiceNameBytes) {
      finished_ = true;
      Finish({grpc::StatusCode::INVALID_ARGUMENT,
              absl::StrCat("the service's name has ", service_.size(), " bytes; allowed: at most ",
                           kMaxServiceNameBytes)});
    }
    AdvanceLocked();
  }

  void AdvanceLocked() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (writing_ || finished_) return;
    const Status status = health_->StatusLocked(service_);
    if (!gone_ && sent_ != status) {
      sent_ = status;
      message_.set_status(status);
      writing_ = true;
      StartWrite(&message_);
    } else if (gone_ || health_->finishing_) {
      finished_ = true;
      Finish(gone_ ? grpc::Status::CANCELLED : grpc::Status::OK);
    }
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&health_->mu_);
    writing_ = false;
    gone_ = gone_ || !ok;
    AdvanceLocked();
  }
  void OnCancel() override {
    absl::MutexLock lock(&health_->mu_);
    gone_ = true;
    AdvanceLocked();
  }
  void OnDone() override {
    {
      absl::MutexLock lock(&health_->mu_);
      health_->watchers_.erase(this);
    }
    delete this;
  }

 private:
  HealthService* const health_;
  const std::string service_;
  HealthCheckResponse message_;
  std::optional<Status> sent_;
  bool writing_ = false;
  bool gone_ = false;
  bool finished_ = false;
};

HealthService::HealthService(std::set<std::string> services) : services_(std::move(services)) {}

HealthService::Status HealthService::StatusLocked(const std::string& service) const {
  if (service == kLivenessService)
    return live_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  if (!service.empty() && !services_.contains(service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  return ready_ && live_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

void HealthService::NotifyAll() {
  absl::MutexLock lock(&mu_);
  for (Watcher* watcher : watchers_) watcher->AdvanceLocked();
}

void HealthService::SetReady(bool ready) {
  {
    absl::MutexLock lock(&mu_);
    ready_ = ready;
  }
  NotifyAll();
}

void HealthService::SetLive(bool live) {
  {
    absl::MutexLock lock(&mu_);
    live_ = live;
  }
  NotifyAll();
}

bool HealthService::ready() const {
  absl::MutexLock lock(&mu_);
  return ready_ && live_;
}

bool HealthService::live() const {
  absl::MutexLock lock(&mu_);
  return live_;
}

void HealthService::FinishWatches() {
  {
    absl::MutexLock lock(&mu_);
    finishing_ = true;
  }
  NotifyAll();
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::MutexLock lock(&mu_);
  const Status status = StatusLocked(request->service());
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    reactor->Finish(
        {grpc::StatusCode::NOT_FOUND,
         "unknown service; known: the empty name, liveness, " + std::string(kEncoderServiceName)});
  } else {
    response->set_status(status);
    reactor->Finish(grpc::Status::OK);
  }
  return reactor;
}

grpc::ServerUnaryReactor* HealthService::List(grpc::CallbackServerContext* context,
                                              const HealthListRequest* /*request*/,
                                              HealthListResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::MutexLock lock(&mu_);
  std::set<std::string> names = services_;
  names.insert({"", kLivenessService});
  for (const std::string& name : names)
    (*response->mutable_statuses())[name].set_status(StatusLocked(name));
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext* /*context*/, const HealthCheckRequest* request) {
  return new Watcher(this, request->service());
}

}  // namespace longspan
