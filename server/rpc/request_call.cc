#include "server/rpc/request_call.h"

#include <utility>

namespace longspan {

RawReactor* RequestCall::Start(const std::shared_ptr<RequestCall>& call) {
  call->self_ = call;
  call->Begin();
  return call.get();
}

void RequestCall::Begin() {
  absl::MutexLock lock(&mu_);
  if (const absl::Status status = call_.Admit(); !status.ok()) return EndLocked(status);
  call_.ReadBegins(weak_from_this(), /*whole_request=*/true);
  StartRead(&request_);
}

void RequestCall::OnReadDone(bool ok) {
  call_.ReadEnds();
  grpc::ByteBuffer request;
  request.Swap(&request_);
  const absl::Status status = WithoutThrowing([&] {
    if (!ok) return call_.WhyNoRequest();
    const absl::Status received = call_.NoteReceived(request);
    return received.ok() ? Run(request) : received;
  });
  if (status.ok()) return;
  absl::MutexLock lock(&mu_);
  if (!ended_) EndLocked(status);
}

const std::shared_ptr<AnswerRoom>& RequestCall::MakeRoom(int64_t vector_bytes) {
  room_ = std::make_shared<AnswerRoom>(call_.parts().admission, call_.client(), vector_bytes);
  return room_;
}

void RequestCall::EndLocked(const absl::Status& status) {
  ended_ = true;
  if (!status.ok()) cancel_->Cancel();  // whatever of the request still waits
  Finish(call_.Finish(status));
}

void RequestCall::AnswerLocked(grpc::ByteBuffer answer) {
  ended_ = true;
  answer_.Swap(&answer);
  call_.WriteBegins(static_cast<int64_t>(answer_.Length()));
  StartWriteAndFinish(&answer_, grpc::WriteOptions(), call_.Finish(absl::OkStatus()));
}

// The call ends first, with the reason that it knows. A task that sees the flag before would end it
// as cancelled, also where its deadline has passed.
void RequestCall::OnCancel() {
  {
    absl::MutexLock lock(&mu_);
    if (!ended_) OnGoneLocked();
  }
  cancel_->Cancel();
  call_.parts().scheduler->NotifyCancelled();
}

void RequestCall::GiveUpReading(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  if (!ended_) EndLocked(status);
}

void RequestCall::OnDone() {
  call_.Close();
  OnClosed();
  if (room_ != nullptr) room_->Close();
  answer_.Clear();
  self_.reset();
}

}  // namespace longspan
