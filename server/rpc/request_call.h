// RequestCall: a call with one request: Encode, EncodeTokens, Tokenize, GetModelInfo. It checks who
// asks before it reads the request, has it decoded (Run), and ends exactly once.
//
//   class TokenizeCall final : public RequestCall { absl::Status Run(...) override; ... };
//   return RequestCall::Start(std::make_shared<TokenizeCall>(context, parts));
//
// Lifetime: shared by gRPC (until OnDone) and the tasks' callbacks, freed with the last of them. A
// task that ends after the call has finished finds `ended_` and does nothing. The room that the
// answer takes is given back in OnDone, when it is sent or dropped.
// Thread safety: internally synchronised.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/answer_room.h"
#include "server/batching/cancel_flag.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/raw_service.h"
#include "server/rpc/rpc_call.h"

namespace longspan {

class RequestCall : public RawReactor,
                    public OpenCalls::Reader,
                    public std::enable_shared_from_this<RequestCall> {
 public:
  // Takes over the call: gRPC holds it until OnDone.
  static RawReactor* Start(const std::shared_ptr<RequestCall>& call);

  void OnReadDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final;
  void GiveUpReading(const absl::Status& status) final;

 protected:
  RequestCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts)
      : call_(method, context, parts) {}

  // Decodes the request and hands the work over. An error ends the call. Called at most once, on a
  // thread of gRPC, or of the tokenizer pool where the request is large (message_threads.h), with
  // no lock held. It must not block or compute. The call may end meanwhile, and gRPC may be done
  // with it.
  virtual absl::Status Run(const grpc::ByteBuffer& request) = 0;
  // The caller has gone, or its deadline has passed, and the call has not ended.
  virtual void OnGoneLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    EndLocked(call_.WhyCancelled());
  }
  // gRPC holds nothing of the call any more.
  virtual void OnClosed() {}

  template <typename Derived>
  std::shared_ptr<Derived> Shared() {
    return std::static_pointer_cast<Derived>(shared_from_this());
  }
  // For Run. Counts the texts that were asked for; false where the call has ended.
  bool NoteInputs(std::span<const EncodeInput> inputs);
  // For Run. What admission predicts that computing the call takes, for errors of its deadline.
  void NotePrediction(double seconds);
  // For Run, once: the room of the answer to this call, with vectors of so many bytes. It is closed
  // where the call has ended.
  std::shared_ptr<AnswerRoom> MakeRoom(int64_t vector_bytes);

  // Ends the call: without an answer (or behind the last message of a stream), or with one.
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AnswerLocked(grpc::ByteBuffer answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RpcCall call_;
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();

  absl::Mutex mu_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;

 private:
  void Begin();
  // `status`: why the request cannot be read; OK = it can.
  void ReadRequest(const grpc::ByteBuffer& request, absl::Status status);

  std::shared_ptr<RequestCall> self_;  // gRPC's share of this object, given back in OnDone
  grpc::ByteBuffer request_;           // written by gRPC until OnReadDone
  grpc::ByteBuffer answer_;            // read by gRPC until OnDone
  std::shared_ptr<AnswerRoom> room_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
