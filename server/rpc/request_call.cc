#include "server/rpc/request_call.h"

#include <utility>

#include "server/rpc/message_threads.h"

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
  grpc::ByteBuffer request;
  {
    absl::MutexLock lock(&mu_);
    request.Swap(&request_);
    if (ended_) return;
    const absl::Status status = ok ? call_.NoteReceived(request) : call_.WhyNoRequest();
    if (!status.ok()) {
      call_.ReadEnds();
      return EndLocked(status);
    }
  }
  const auto bytes = static_cast<int64_t>(request.Length());
  const absl::Status handed = OnRequestThread(
      call_.parts().tokenizers, call_.client(), bytes,
      [call = shared_from_this(), request](const absl::Status& status) {  // shares the bytes
        call->ReadRequest(request, status);
      });
  if (!handed.ok()) ReadRequest({}, handed);
}

void RequestCall::ReadRequest(const grpc::ByteBuffer& request, absl::Status status) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    call_.ReadEnds();
  }
  if (status.ok()) status = WithoutThrowing([&] { return Run(request); });
  if (status.ok()) return;
  absl::MutexLock lock(&mu_);
  if (!ended_) EndLocked(status);
}

bool RequestCall::NoteInputs(std::span<const EncodeInput> inputs) {
  absl::MutexLock lock(&mu_);
  if (ended_) return false;
  for (const EncodeInput& input : inputs) call_.NoteInput(input);
  return true;
}

void RequestCall::NotePrediction(double seconds) {
  absl::MutexLock lock(&mu_);
  call_.NotePrediction(seconds);
}

std::shared_ptr<AnswerRoom> RequestCall::MakeRoom(int64_t vector_bytes) {
  auto room = std::make_shared<AnswerRoom>(call_.parts().admission, call_.client(), vector_bytes);
  absl::MutexLock lock(&mu_);
  if (ended_) room->Close();
  room_ = room;
  return room;
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
  {
    absl::MutexLock lock(&mu_);
    if (room_ != nullptr) room_->Close();
  }
  answer_.Clear();
  self_.reset();
}

}  // namespace longspan
