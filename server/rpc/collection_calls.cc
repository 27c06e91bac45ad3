#include "server/rpc/collection_calls.h"

#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <utility>

#include "server/rpc/collection_requests.h"
#include "server/rpc/texts_order.h"
#include "server/wire/collection_encoder.h"
#include "server/wire/document_decoder.h"
#include "server/wire/put_decoder.h"
#include "server/wire/response_encoder.h"
#include "server/wire/serialized.h"

namespace longspan {

absl::Status PutDocumentsCall::Run(const grpc::ByteBuffer& bytes) {
  const ServiceParts& parts = call_.parts();
  v1::PutDocumentsRequest message;
  if (absl::Status status = ParseRequest(parts, bytes, &message); !status.ok()) return status;
  auto request = DecodePutRequest(&message, parts.decoding());
  if (!request.ok()) return request.status();
  auto owner = call_.CollectionOwner();
  if (!owner.ok()) return owner.status();
  request->collection.owner = *std::move(owner);
  ids_ = request->ids;
  auto job = PutJob::Create(*std::move(request), parts.search_engine());
  if (!job.ok()) return job.status();
  if (!NoteInputs((*job)->documents())) return absl::CancelledError("the call has ended");
  auto order = NewTextsOrder<PutJob::Order>((*job)->Claims(parts.max_tokens()), call_, cancel_);
  if (!order.ok()) return order.status();
  NotePrediction(PredictedSeconds(*order));
  const auto room = MakeRoom(/*vector_bytes=*/0);
  if (absl::Status status = room->Add(MostPutBytes(ids_)); !status.ok()) return status;
  const auto call = Shared<PutDocumentsCall>();
  order->new_timer = [call] { return call->call_.NewTimer(call->call_.arrival()); };
  order->on_text = [call](const absl::StatusOr<EncodedDocument>& counts,
                          const StageTimings& timings) { call->OnText(counts, timings); };
  order->translate = [call](size_t text, const absl::Status& status) {
    return AtDocument(status, text, call->ids_[text]);
  };
  order->done = [call](const absl::StatusOr<PutAnswer>& answer) { call->OnAnswer(answer); };
  (*job)->Begin(*std::move(order));
  return absl::OkStatus();
}

void PutDocumentsCall::OnText(const absl::StatusOr<EncodedDocument>& counts,
                              const StageTimings& timings) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  call_.NoteText(counts, timings);
  MaxTimings(timings, &timings_);
}

void PutDocumentsCall::OnAnswer(const absl::StatusOr<PutAnswer>& answer) {
  StageTimings timings;
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    if (!answer.ok()) return EndLocked(answer.status());
    timings = timings_;
  }
  timings.total = call_.parts().clock->Now() - call_.arrival();
  grpc::ByteBuffer message;
  const absl::Status status = WithoutThrowing([&] {
    message = SerializeMessage(PutResponseOf(*answer, ids_, timings));
    return absl::OkStatus();
  });
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (!status.ok()) return EndLocked(status);
  AnswerLocked(message);
}

absl::Status DeleteDocumentsCall::Run(const grpc::ByteBuffer& bytes) {
  if (absl::Status status = ParseRequest(call_.parts(), bytes, &request_); !status.ok())
    return status;
  call_.parts().tokenizers->Submit(
      call_.client(), /*bytes=*/0, [call = Shared<DeleteDocumentsCall>()](absl::Status status) {
        grpc::ByteBuffer answer;
        if (status.ok()) {
          status = WithoutThrowing([&] {
            const auto response = DeleteKept(call->call_, &call->request_);
            if (response.ok()) answer = SerializeMessage(*response);
            return response.status();
          });
        }
        absl::MutexLock lock(&call->mu_);
        if (call->ended_) return;
        if (!status.ok()) return call->EndLocked(status);
        call->AnswerLocked(answer);
      });
  return absl::OkStatus();
}

absl::Status ListCollectionsCall::Run(const grpc::ByteBuffer& bytes) {
  v1::ListCollectionsRequest parsed;
  if (absl::Status status = ParseRequest(call_.parts(), bytes, &parsed); !status.ok())
    return status;
  const auto response = ListKept(call_);
  if (!response.ok()) return response.status();
  absl::MutexLock lock(&mu_);
  if (!ended_) AnswerLocked(SerializeMessage(*response));
  return absl::OkStatus();
}

}  // namespace longspan
