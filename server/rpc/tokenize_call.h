// TokenizeCall: one unary Tokenize, done on a tokenizer thread. It holds a permit for the bytes of
// its texts, so that admission counts them like those of any other call.
//
// A long text is read part by part (Tokenizer::EncodeByParts), and the tokens of a part are
// serialised before the next one is read. So the call holds its texts, its answer as it is sent,
// and the tokens of one part. The answer is counted while it grows (AnswerRoom): one that becomes
// too large ends the call then. Between the parts the call looks whether anybody still waits.
//
// Lifetime and thread safety: those of a RequestCall (request_call.h).
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/batching/admission.h"
#include "server/batching/task_timer.h"
#include "server/rpc/request_call.h"
#include "server/wire/answer_size.h"

namespace longspan {

class TokenizeCall final : public RequestCall {
 public:
  TokenizeCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kTokenize, context, parts) {}

 private:
  // The answer as it grows: the fields of TokenizeResponse, one behind the other.
  using Slices = std::vector<grpc::Slice>;

  absl::Status Run(const grpc::ByteBuffer& request) override;
  // Everything below runs on the tokenizer's thread.
  void OnTurn(const absl::Status& status);
  absl::Status ReadAll(Slices* answer) const;
  absl::Status ReadOne(const std::string& text, const std::string& prompt, Slices* answer) const;
  absl::Status Abandoned() const;

  // Set before a tokenizer thread is asked for, then its own.
  v1::TokenizeRequest request_;
  AdmissionPermit permit_;
  std::shared_ptr<TaskTimer> timer_;
  std::shared_ptr<AnswerRoom> room_;
  std::unique_ptr<AnswerSize> size_;
};

}  // namespace longspan
