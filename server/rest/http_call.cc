#include "server/rest/http_call.h"

#include <utility>

#include "server/rest/http_caller.h"
#include "server/rpc/message_threads.h"
#include "server/wire/status.h"

namespace longspan {

HttpCall::HttpCall(RpcMethod method, std::shared_ptr<HttpExchange> exchange,
                   const ServiceParts* parts)
    : method_(method),
      exchange_(std::move(exchange)),
      call_(method, parts, HttpCallerOf(exchange_->request())) {
  parts->metrics->OnHttpCallBegin(method);
  call_.SetKey(exchange_->request().key_name);
}

void HttpCall::Start(const std::shared_ptr<HttpCall>& call) { call->Begin(); }

void HttpCall::Begin() {
  absl::Status status = call_.CheckPhase();
  if (status.ok()) status = CheckHttpHeaders(exchange_->request());
  std::string body = exchange_->MoveBody();
  const auto bytes = static_cast<int64_t>(body.size());
  if (status.ok()) status = call_.CheckSize(bytes);
  if (!status.ok()) return ReadRequest({}, status);
  exchange_->OnGone([weak = weak_from_this()] {
    if (const auto call = weak.lock()) call->HearGone();
  });
  auto held = std::make_shared<std::string>(std::move(body));
  status = OnRequestThread(call_.parts().tokenizers, call_.client(), bytes,
                           [call = shared_from_this(), held](const absl::Status& handed) {
                             call->ReadRequest(std::move(*held), handed);
                           });
  if (!status.ok()) ReadRequest({}, status);
}

void HttpCall::ReadRequest(std::string body, absl::Status status) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
  }
  if (status.ok()) status = WithoutThrowing([&] { return Run(std::move(body)); });
  (void)exchange_->HoldBody(0);
  if (status.ok()) return;
  absl::MutexLock lock(&mu_);
  if (!ended_) RefuseLocked(status);
}

bool HttpCall::NoteInputs(std::span<const EncodeInput> inputs) {
  absl::MutexLock lock(&mu_);
  if (ended_) return false;
  for (const EncodeInput& input : inputs) call_.NoteInput(input);
  return true;
}

std::shared_ptr<AnswerRoom> HttpCall::MakeRoom(int64_t vector_bytes) {
  auto room = std::make_shared<AnswerRoom>(call_.parts().admission, call_.client(), vector_bytes);
  absl::MutexLock lock(&mu_);
  if (ended_) room->Close();
  room_ = room;
  return room;
}

void HttpCall::RecordLocked(const absl::Status& status) {
  ended_ = true;
  if (!status.ok()) cancel_->Cancel();  // whatever of the request still waits
  call_.Record(status);
}

void HttpCall::AnswerLocked(HttpResponse response) {
  RecordLocked(absl::OkStatus());
  response.headers.emplace("X-Request-Id", call_.request_id());
  exchange_->Answer(std::move(response), [room = room_](bool) {
    if (room != nullptr) room->Close();
  });
}

void HttpCall::RefuseLocked(const absl::Status& status) {
  RecordLocked(status);
  if (room_ != nullptr) room_->Close();
  HttpResponse response = Refusal(call_.WithDeadlineNote(status));
  response.headers.emplace("X-Request-Id", call_.request_id());
  if (std::string seconds = RetryAfterSeconds(status); !seconds.empty())
    response.headers.emplace("Retry-After", std::move(seconds));
  exchange_->Answer(std::move(response));
}

void HttpCall::HearGone() {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    RecordLocked(call_.WhyCancelled());
    if (room_ != nullptr) room_->Close();
  }
  call_.parts().scheduler->NotifyCancelled();
}

}  // namespace longspan
