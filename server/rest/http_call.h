// HttpCall: one request of a JSON route, the counterpart of RequestCall (server/rpc): it is let in,
// read, worked on, and answered exactly once. Keys and the size of the body have been checked by
// the HTTP server.
//
//   class BatchCall final : public HttpCall { absl::Status Run(std::string body) override; ... };
//   HttpCall::Start(std::make_shared<BatchCall>(method, exchange, parts));
//
// Lifetime: shared by the tasks' callbacks, freed with the last of them. A task that ends after the
// call has finished finds `ended_` and does nothing. The room that the answer takes is given back
// when the kernel has all of it, or never will.
// Thread safety: internally synchronised.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/answer_room.h"
#include "server/batching/cancel_flag.h"
#include "server/http/http_exchange.h"
#include "server/rpc/call_record.h"

namespace longspan {

class HttpCall : public std::enable_shared_from_this<HttpCall> {
 public:
  virtual ~HttpCall() { call_.parts().metrics->OnHttpCallEnd(method_); }
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  static void Start(const std::shared_ptr<HttpCall>& call);

 protected:
  HttpCall(RpcMethod method, std::shared_ptr<HttpExchange> exchange, const ServiceParts* parts);

  // Decodes the request and hands the work over. An error ends the call. Called at most once, on a
  // thread of the HTTP server, or of the tokenizer pool where the request is large
  // (message_threads.h), with no lock held. It must not block or compute.
  virtual absl::Status Run(std::string body) = 0;
  // The answer that tells why there is no other one, in the words of the route's contract.
  virtual HttpResponse Refusal(const absl::Status& status) const = 0;

  template <typename Derived>
  std::shared_ptr<Derived> Shared() {
    return std::static_pointer_cast<Derived>(shared_from_this());
  }
  // For Run. Counts the texts that were asked for; false where the call has ended.
  bool NoteInputs(std::span<const EncodeInput> inputs);
  // For Run. What admission predicts that computing the call takes, for errors of its deadline.
  void NotePrediction(double seconds) {
    absl::MutexLock lock(&mu_);
    call_.NotePrediction(seconds);
  }
  // For Run, once: the room of the answer to this call, with vectors of so many bytes. It is closed
  // where the call has ended.
  std::shared_ptr<AnswerRoom> MakeRoom(int64_t vector_bytes);

  // Ends the call with its answer, or with the reason why it has none.
  void AnswerLocked(HttpResponse response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefuseLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RpcMethod method_;
  const std::shared_ptr<HttpExchange> exchange_;
  CallRecord call_;
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();

  absl::Mutex mu_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;

 private:
  void Begin();
  void ReadRequest(std::string body, absl::Status status);
  void HearGone();
  void RecordLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  std::shared_ptr<AnswerRoom> room_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
