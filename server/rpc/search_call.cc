#include "server/rpc/search_call.h"

#include <string>
#include <vector>

#include "server/rpc/texts_order.h"
#include "server/wire/answer_size.h"
#include "server/wire/document_decoder.h"
#include "server/wire/response_encoder.h"
#include "server/wire/search_decoder.h"
#include "server/wire/search_encoder.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

class LongspanSearch final : public SearchForm {
 public:
  absl::StatusOr<SearchRequest> Read(const ServiceParts& parts,
                                     const grpc::ByteBuffer& bytes) override {
    v1::SearchRequest message;
    if (absl::Status status = ParseRequest(parts, bytes, &message); !status.ok()) return status;
    auto request = DecodeSearchRequest(&message, parts.decoding());
    if (!request.ok()) return request.status();
    ids_.reserve(message.documents_size());
    for (v1::SearchDocument& document : *message.mutable_documents())
      ids_.push_back(std::move(*document.mutable_id()));
    most_bytes_ = MostSearchBytes(*request, ids_);
    AnswerSize size(CallersAnswerBytes(message.options().max_answer_bytes()),
                    "options.max_answer_bytes");
    if (absl::Status status = size.Add(most_bytes_); !status.ok()) return status;
    return request;
  }
  int64_t MostAnswerBytes() const override { return most_bytes_; }
  absl::Status Translate(size_t text, const absl::Status& status) const override {
    return text == Searching::kQuery ? AtQuery(status)
                                     : AtDocument(status, text - 1, ids_[text - 1]);
  }
  grpc::ByteBuffer Answer(SearchAnswer answer, const StageTimings& timings) override {
    return SerializeMessage(SearchResponseOf(answer, ids_, timings));
  }

 private:
  std::vector<std::string> ids_;  // of the documents
  int64_t most_bytes_ = 0;
};

}  // namespace

std::unique_ptr<SearchForm> NewSearchForm() { return std::make_unique<LongspanSearch>(); }

absl::Status SearchCall::Run(const grpc::ByteBuffer& bytes) {
  auto request = form_->Read(call_.parts(), bytes);
  if (!request.ok()) return request.status();
  if (request->collection.has_value()) {
    auto owner = call_.CollectionOwner();
    if (!owner.ok()) return owner.status();
    request->collection->owner = *std::move(owner);
  }
  auto job = NewSearching(*std::move(request), call_.parts().search_engine());
  if (!job.ok()) return job.status();
  if (!NoteInputs({&(*job)->query(), 1}) || !NoteInputs((*job)->documents()))
    return absl::CancelledError("the call has ended");
  auto order =
      NewTextsOrder<Searching::Order>((*job)->Claims(call_.parts().max_tokens()), call_, cancel_);
  if (!order.ok()) return order.status();
  NotePrediction(PredictedSeconds(*order));
  const auto room = MakeRoom(/*vector_bytes=*/0);
  if (absl::Status status = room->Add(form_->MostAnswerBytes()); !status.ok()) return status;
  const auto call = Shared<SearchCall>();
  order->new_timer = [call] { return call->call_.NewTimer(call->call_.arrival()); };
  order->on_text = [call](const absl::StatusOr<EncodedDocument>& counts,
                          const StageTimings& timings) { call->OnText(counts, timings); };
  order->translate = [call](size_t text, const absl::Status& status) {
    return call->form_->Translate(text, status);
  };
  order->done = [call](absl::StatusOr<SearchAnswer> answer) { call->OnAnswer(std::move(answer)); };
  (*job)->Begin(*std::move(order));
  return absl::OkStatus();
}

void SearchCall::OnText(const absl::StatusOr<EncodedDocument>& counts,
                        const StageTimings& timings) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  call_.NoteText(counts, timings);
  MaxTimings(timings, &timings_);
}

void SearchCall::OnAnswer(absl::StatusOr<SearchAnswer> answer) {
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
    message = form_->Answer(*std::move(answer), timings);
    return absl::OkStatus();
  });
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (!status.ok()) return EndLocked(status);
  AnswerLocked(std::move(message));
}

}  // namespace longspan
