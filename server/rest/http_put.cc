#include "server/rest/http_put.h"

#include <longspan/v1/encoder.pb.h>

#include "server/rest/json_documents.h"
#include "server/rest/json_message.h"
#include "server/rest/longspan_routes.h"
#include "server/rpc/texts_order.h"
#include "server/wire/collection_encoder.h"
#include "server/wire/document_decoder.h"
#include "server/wire/put_decoder.h"
#include "server/wire/response_encoder.h"

namespace longspan {
namespace {

// As JSON a number takes up to 20 characters instead of up to 10 bytes, and its name as many more;
// an id with control characters grows sixfold.
constexpr int64_t kJsonPerByte = 6;

}  // namespace

absl::StatusOr<PutRequest> HttpPutCall::Read(std::string body) {
  const ServiceParts& parts = call_.parts();
  ignored_ = IgnoredFields(parts.options->strict_json);
  auto json = ReadJson(body);
  if (!json.ok()) return json.status();
  body = {};
  JsonValue documents;
  if (json->is_object()) documents = TakeMember(&*json, "documents");
  v1::PutDocumentsRequest message;
  absl::Status status = ReadMessage(*std::move(json), &message, &ignored_);
  if (status.ok()) {
    status = ReadDocuments(std::move(documents), parts.options->max_texts_per_request,
                           message.mutable_documents(), &ignored_);
  }
  if (status.ok() && !message.collection().empty()) {
    status =
        InvalidField("collection", "is given by the path and by the body; allowed: by the path");
  }
  if (!status.ok()) return status;
  message.set_collection(exchange_->request().segment);
  auto request = DecodePutRequest(&message, parts.decoding());
  if (!request.ok()) return request.status();
  auto owner = call_.CollectionOwner();
  if (!owner.ok()) return owner.status();
  request->collection.owner = *std::move(owner);
  return request;
}

absl::Status HttpPutCall::Run(std::string body) {
  auto request = Read(std::move(body));
  if (!request.ok()) return request.status();
  ids_ = request->ids;
  auto job = PutJob::Create(*std::move(request), call_.parts().search_engine());
  if (!job.ok()) return job.status();
  if (!NoteInputs((*job)->documents())) return absl::CancelledError("the call has ended");
  auto order =
      NewTextsOrder<PutJob::Order>((*job)->Claims(call_.parts().max_tokens()), call_, cancel_);
  if (!order.ok()) return order.status();
  NotePrediction(PredictedSeconds(*order));
  const auto room = MakeRoom(/*vector_bytes=*/0);
  if (absl::Status status = room->Add(kJsonPerByte * MostPutBytes(ids_)); !status.ok())
    return status;
  const auto call = Shared<HttpPutCall>();
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

HttpResponse HttpPutCall::Refusal(const absl::Status& status) const {
  return LongspanRefusal(status);
}

void HttpPutCall::OnText(const absl::StatusOr<EncodedDocument>& counts,
                         const StageTimings& timings) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  call_.NoteText(counts, timings);
  MaxTimings(timings, &timings_);
}

void HttpPutCall::OnAnswer(const absl::StatusOr<PutAnswer>& answer) {
  StageTimings timings;
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    if (!answer.ok()) return RefuseLocked(answer.status());
    timings = timings_;
  }
  timings.total = call_.parts().clock->Now() - call_.arrival();
  HttpResponse response{.content_type = "application/json"};
  const absl::Status status = WithoutThrowing([&] {
    response.body = WriteMessage(PutResponseOf(*answer, ids_, timings), /*all_fields=*/true);
    response.body.push_back('\n');
    ignored_.AddHeader(&response);
    return absl::OkStatus();
  });
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (!status.ok()) return RefuseLocked(status);
  AnswerLocked(std::move(response));
}

}  // namespace longspan
