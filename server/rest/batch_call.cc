#include "server/rest/batch_call.h"

#include <utility>

#include "server/rpc/message_threads.h"
#include "server/text/text_segments.h"
#include "server/wire/response_encoder.h"

namespace longspan {

bool BatchCall::NoteWorkInputs() {
  absl::MutexLock lock(&mu_);
  if (ended_) return false;
  for (const auto& work : work_) {
    const EncodeInput* input = work->input();
    if (input == nullptr) continue;
    call_.NoteInput(*input);
    totals_.characters += CountCharacters(input->text);
  }
  missing_ = work_.size();
  pieces_.resize(work_.size());
  return true;
}

absl::Status BatchCall::Run(std::string body) {
  const ServiceParts& parts = call_.parts();
  auto work = request_->Read(parts, std::move(body));
  if (!work.ok()) return work.status();
  work_ = *std::move(work);
  if (!NoteWorkInputs()) return absl::CancelledError("the call has ended");
  std::vector<AdmissionClaim> claims;
  claims.reserve(work_.size());
  for (const auto& one : work_) claims.push_back(one->Claim(parts));
  auto permits = parts.admission->TryAcquire(claims, call_.deadline(), call_.client());
  if (!permits.ok()) return permits.status();
  CallSize call_size;
  for (const AdmissionPermit& permit : *permits) call_size += permit.size();
  NotePrediction(call_size.seconds);
  const auto room = MakeRoom(work_.front()->VectorBytes(parts));
  for (size_t i = 0; i < work_.size(); ++i) {
    WorkOrder order{.permit = std::move((*permits)[i]),
                    .call_size = call_size,
                    .arrival = call_.arrival(),
                    .deadline = call_.deadline(),
                    .cancel = cancel_,
                    .client = call_.client(),
                    .timer = call_.NewTimer(call_.arrival()),
                    .room = room};
    order.done = [call = Shared<BatchCall>(), i](const WorkResult& result) {
      call->OnWorked(i, result);
    };
    work_[i]->Begin(parts, std::move(order));
  }
  return absl::OkStatus();
}

void BatchCall::OnWorked(size_t index, const WorkResult& result) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    NoteWork(&call_, result);
    MaxTimings(result.timings, &totals_.timings);
    if (!result.counts.ok()) return RefuseLocked(result.counts.status());
    totals_.tokens += result.counts->tokens_used;
  }
  OnAnswerThread(call_.parts().tokenizers, call_.client(), result.num_values,
                 [call = Shared<BatchCall>(), index] { call->Add(index); });
}

void BatchCall::Add(size_t index) {
  grpc::ByteBuffer piece;
  const absl::Status status = WithoutThrowing([&] { return work_[index]->MakeAnswer(&piece); });
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    if (!status.ok()) return RefuseLocked(status);
    pieces_[index].Swap(&piece);
    if (--missing_ > 0) return;
  }
  Answer();
}

void BatchCall::Answer() {
  std::vector<grpc::ByteBuffer> pieces;
  BatchTotals totals;
  {
    absl::MutexLock lock(&mu_);
    pieces.swap(pieces_);
    totals = totals_;
  }
  totals.timings.total = call_.parts().clock->Now() - call_.arrival();
  HttpResponse response;
  const absl::Status status = WithoutThrowing([&] {
    response = request_->Join(pieces, totals);
    return absl::OkStatus();
  });
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (!status.ok()) return RefuseLocked(status);
  AnswerLocked(std::move(response));
}

}  // namespace longspan
