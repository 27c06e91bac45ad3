#include "server/rest/http_search.h"

#include "server/rpc/texts_order.h"
#include "server/search/searching.h"
#include "server/wire/response_encoder.h"

namespace longspan {

absl::Status HttpSearchCall::Run(std::string body) {
  auto request = form_->Read(call_.parts(), std::move(body));
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
  const auto call = Shared<HttpSearchCall>();
  order->new_timer = [call] { return call->call_.NewTimer(call->call_.arrival()); };
  order->on_text = [call](const absl::StatusOr<EncodedDocument>& counts,
                          const StageTimings& timings) { call->OnText(counts, timings); };
  order->translate = [call](size_t text, const absl::Status& status) {
    return call->form_->Translate(text, status);
  };
  order->done = [call](const absl::StatusOr<SearchAnswer>& answer) { call->OnAnswer(answer); };
  (*job)->Begin(*std::move(order));
  return absl::OkStatus();
}

void HttpSearchCall::OnText(const absl::StatusOr<EncodedDocument>& counts,
                            const StageTimings& timings) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  call_.NoteText(counts, timings);
  MaxTimings(timings, &timings_);
}

void HttpSearchCall::OnAnswer(const absl::StatusOr<SearchAnswer>& answer) {
  StageTimings timings;
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    if (!answer.ok()) return RefuseLocked(answer.status());
    timings = timings_;
  }
  timings.total = call_.parts().clock->Now() - call_.arrival();
  HttpResponse response;
  const absl::Status status = WithoutThrowing([&] {
    response = form_->Answer(*answer, timings);
    return absl::OkStatus();
  });
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (!status.ok()) return RefuseLocked(status);
  AnswerLocked(std::move(response));
}

}  // namespace longspan
