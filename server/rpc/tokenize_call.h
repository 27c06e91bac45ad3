// TokenizeCall: one unary Tokenize, done on a tokenizer thread. Holds a permit for its bytes, so
// that it counts in admission.
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <vector>

#include "server/rpc/rpc_call.h"

namespace longspan {

class TokenizeCall final : public grpc::ServerUnaryReactor {
 public:
  static grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer* response, const ServiceParts* parts);

  TokenizeCall(grpc::CallbackServerContext* context, grpc::ByteBuffer* response,
               const ServiceParts* parts)
      : call_("Tokenize", context, parts), context_(context), response_(response) {}

  void OnDone() override { delete this; }

 private:
  absl::Status Run(const grpc::ByteBuffer& request);
  absl::Status ReadAll();
  absl::Status ReadOne(const std::string& text, const std::string& prompt, const std::string& field,
                       v1::TokenizedText* out) const;
  void End(const absl::Status& status);

  RpcCall call_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;
  v1::TokenizeRequest request_;
  AdmissionPermit permit_;
};

}  // namespace longspan
