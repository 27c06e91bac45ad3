#include "server/rpc/health_service.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/wire/serialized.h"
#include "server/wire/status.h"

namespace longspan {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListRequest;
using grpc::health::v1::HealthListResponse;

namespace {

// A request holds one name. The longest of ours has 26 bytes.
constexpr size_t kMaxRequestBytes = 4 << 10;

absl::StatusOr<HealthCheckRequest> ParseRequest(const grpc::ByteBuffer& bytes) {
  if (bytes.Length() > kMaxRequestBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the request has ", bytes.Length(), " bytes; allowed: at most ", kMaxRequestBytes));
  }
  std::vector<grpc::Slice> slices;
  HealthCheckRequest request;
  std::string text;
  const bool dumped = bytes.Dump(&slices).ok();
  for (const grpc::Slice& slice : slices)
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  if (!dumped || !request.ParseFromString(text))
    return absl::InvalidArgumentError("the request is not a valid health request");
  return request;
}

}  // namespace

// One call. The service's mutex guards all its state: requests are rare and tiny.
class HealthService::Call : public RawReactor,
                            public OpenCalls::Reader,
                            public std::enable_shared_from_this<Call> {
 public:
  static RawReactor* Start(const std::shared_ptr<Call>& call) {
    call->self_ = call;
    call->health_->calls_->ReadBegins(call->listed_, call->weak_from_this(),
                                      /*whole_request=*/true);
    call->StartRead(&call->incoming_);
    return call.get();
  }

  void OnReadDone(bool ok) final {
    health_->calls_->ReadEnds(listed_);
    absl::MutexLock lock(&health_->mu_);
    if (ended_) return;
    if (!ok) {
      return EndLocked(context_->IsCancelled()
                           ? absl::CancelledError("the caller went away")
                           : absl::InvalidArgumentError("the call has no request message"));
    }
    const auto request = ParseRequest(incoming_);
    incoming_.Clear();
    request.ok() ? ReceiveLocked(*request) : EndLocked(request.status());
  }
  void OnCancel() final {
    absl::MutexLock lock(&health_->mu_);
    if (!ended_) GoneLocked();
  }
  void OnDone() final {
    health_->calls_->Remove(listed_);
    CloseCall();
    self_.reset();
  }
  void GiveUpReading(const absl::Status& status) final {
    absl::MutexLock lock(&health_->mu_);
    if (!ended_) EndLocked(status);
  }

 protected:
  Call(HealthService* health, grpc::CallbackServerContext* context)
      : health_(health),
        context_(context),
        listed_(health->calls_->Add(std::nullopt, ClientOf(context->peer()), context)) {}

  // The methods ...Locked need the service's mutex.
  virtual void ReceiveLocked(const HealthCheckRequest& request) = 0;
  virtual void GoneLocked() { EndLocked(absl::CancelledError("the caller went away")); }
  virtual void CloseCall() {}
  void EndLocked(const absl::Status& status) {
    ended_ = true;
    Finish(ToGrpcStatus(status));
  }
  void AnswerLocked(const google::protobuf::Message& answer) {
    ended_ = true;
    outgoing_ = SerializeMessage(answer);
    StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), grpc::Status::OK);
  }
  Status StatusOfLocked(const std::string& service) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return health_->StatusLocked(service);
  }

  HealthService* const health_;
  grpc::CallbackServerContext* const context_;
  const OpenCalls::Handle listed_;
  grpc::ByteBuffer outgoing_;
  bool ended_ = false;

 private:
  grpc::ByteBuffer incoming_;
  std::shared_ptr<Call> self_;  // gRPC's share of this object, given back in OnDone
};

class HealthService::CheckCall final : public Call {
 public:
  CheckCall(HealthService* health, grpc::CallbackServerContext* context) : Call(health, context) {}

 private:
  void ReceiveLocked(const HealthCheckRequest& request) override {
    const Status status = StatusOfLocked(request.service());
    if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
      return EndLocked(
          absl::NotFoundError(absl::StrCat("unknown service; known: the empty name, ",
                                           kLivenessService, ", ", kEncoderServiceName)));
    }
    HealthCheckResponse response;
    response.set_status(status);
    AnswerLocked(response);
  }
};

class HealthService::ListCall final : public Call {
 public:
  ListCall(HealthService* health, grpc::CallbackServerContext* context) : Call(health, context) {}

 private:
  void ReceiveLocked(const HealthCheckRequest& /*request*/) override {
    std::set<std::string> names = health_->services_;
    names.insert({"", kLivenessService});
    HealthListResponse response;
    for (const std::string& name : names)
      (*response.mutable_statuses())[name].set_status(StatusOfLocked(name));
    AnswerLocked(response);
  }
};

// At most one write is under way. When it is done, AdvanceLocked compares what was sent with the
// status of now. So a change during the write is not lost, and one that was undone meanwhile costs
// no message.
class HealthService::WatchCall final : public Call {
 public:
  WatchCall(HealthService* health, grpc::CallbackServerContext* context) : Call(health, context) {}

  void AdvanceLocked() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (writing_ || ended_) return;
    const Status status = StatusOfLocked(service_);
    if (!gone_ && sent_ != status) {
      sent_ = status;
      HealthCheckResponse message;
      message.set_status(status);
      outgoing_ = SerializeMessage(message);
      writing_ = true;
      StartWrite(&outgoing_);
    } else if (gone_ || health_->finishing_) {
      EndLocked(gone_ ? absl::CancelledError("the caller went away") : absl::OkStatus());
    }
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&health_->mu_);
    writing_ = false;
    gone_ = gone_ || !ok;
    AdvanceLocked();
  }

 private:
  void ReceiveLocked(const HealthCheckRequest& request) override ABSL_NO_THREAD_SAFETY_ANALYSIS {
    service_ = request.service();
    health_->watches_.insert(this);
    AdvanceLocked();
  }
  void GoneLocked() override {
    gone_ = true;
    AdvanceLocked();
  }
  void CloseCall() override {
    absl::MutexLock lock(&health_->mu_);
    health_->watches_.erase(this);
  }

  std::string service_;
  std::optional<Status> sent_;
  bool writing_ = false;
  bool gone_ = false;
};

HealthService::HealthService(std::set<std::string> services, OpenCalls* calls)
    : services_(std::move(services)), calls_(calls) {
  using Context = grpc::CallbackServerContext;
  Serve("/grpc.health.v1.Health/Check", [this](Context* context) {
    return Call::Start(std::make_shared<CheckCall>(this, context));
  });
  Serve("/grpc.health.v1.Health/List", [this](Context* context) {
    return Call::Start(std::make_shared<ListCall>(this, context));
  });
  Serve("/grpc.health.v1.Health/Watch", [this](Context* context) {
    return Call::Start(std::make_shared<WatchCall>(this, context));
  });
}

HealthService::Status HealthService::StatusLocked(const std::string& service) const {
  if (service == kLivenessService)
    return live_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  if (!service.empty() && !services_.contains(service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  return ready_ && live_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

void HealthService::NotifyAll() {
  absl::MutexLock lock(&mu_);
  for (WatchCall* watch : watches_) watch->AdvanceLocked();
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

}  // namespace longspan
