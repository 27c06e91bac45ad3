// TokenizeCall: one unary Tokenize, done on a tokenizer thread. It holds a permit for the bytes of
// its texts, so that admission counts them like those of any other call.
//
// Lifetime: gRPC's until OnDone, where the object deletes itself.
// Thread safety: one thread at a time: the handler's, then the tokenizer's.
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <string>

#include "server/batching/admission.h"
#include "server/batching/task_timer.h"
#include "server/rpc/rpc_call.h"

namespace longspan {

class TokenizeCall final : public grpc::ServerUnaryReactor {
 public:
  static grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer* response, const ServiceParts* parts);

  TokenizeCall(grpc::CallbackServerContext* context, grpc::ByteBuffer* response,
               const ServiceParts* parts)
      : call_(RpcMethod::kTokenize, context, parts), context_(context), response_(response) {}

  void OnDone() override { delete this; }

 private:
  absl::Status Run(const grpc::ByteBuffer& request);
  absl::Status ReadAll();
  absl::Status ReadOne(const std::string& text, const std::string& prompt, const std::string& field,
                       v1::TokenizedText* out) const;
  void End(const absl::Status& status);

  RpcCall call_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;  // gRPC's own; may be written until OnDone
  v1::TokenizeRequest request_;
  AdmissionPermit permit_;
  std::shared_ptr<TaskTimer> timer_;  // null until a tokenizer thread is asked for
};

}  // namespace longspan
