#include "server/tei/unary_call.h"

#include "server/rpc/message_threads.h"

namespace longspan {

absl::Status UnaryCall::Run(const grpc::ByteBuffer& request) {
  const ServiceParts& parts = call_.parts();
  if (absl::Status status = work_->Read(parts, request); !status.ok()) return status;
  if (work_->input() != nullptr && !NoteInputs({work_->input(), 1}))
    return absl::CancelledError("the call has ended");
  auto permit = parts.admission->TryAcquire(work_->Claim(parts), call_.deadline(), call_.client());
  if (!permit.ok()) return permit.status();
  NotePrediction(permit->size().seconds);
  WorkOrder order{.permit = *std::move(permit),
                  .arrival = call_.arrival(),
                  .deadline = call_.deadline(),
                  .cancel = cancel_,
                  .client = call_.client(),
                  .timer = call_.NewTimer(call_.arrival()),
                  .room = MakeRoom(work_->VectorBytes(parts))};
  order.done = [call = Shared<UnaryCall>()](const WorkResult& result) { call->OnWorked(result); };
  work_->Begin(parts, std::move(order));
  return absl::OkStatus();
}

void UnaryCall::OnWorked(const WorkResult& result) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    NoteWork(&call_, result);
    if (!result.counts.ok()) return EndLocked(result.counts.status());
  }
  OnAnswerThread(call_.parts().tokenizers, call_.client(), result.num_values,
                 [call = Shared<UnaryCall>()] { call->MakeAnswer(); });
}

// The message is made without the lock: a caller that goes away must not wait for it on a thread of
// gRPC.
void UnaryCall::MakeAnswer() {
  grpc::ByteBuffer answer;
  const absl::Status status = WithoutThrowing([&] { return work_->MakeAnswer(&answer); });
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (!status.ok()) return EndLocked(status);
  AnswerLocked(answer);
}

}  // namespace longspan
