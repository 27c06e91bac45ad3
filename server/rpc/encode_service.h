// EncodeService: the handlers of longspan.v1.EncoderService. Encode, EncodeStream, EncodeTokens and
// Tokenize each make a reactor of their own (encode_call.h, encode_stream_call.h,
// encode_tokens_call.h, tokenize_call.h), which decodes the request, asks for admission, hands the
// work over and returns. GetModelInfo answers at once. No handler blocks or computes.
//
// Messages arrive as bytes and the reactors parse them (RpcCall::Parse), so that a malformed one is
// INVALID_ARGUMENT with a reason. Parsed by gRPC it would be INTERNAL.
//
// Thread safety: gRPC calls the handlers from many threads.
#pragma once

#include <longspan/v1/encoder.grpc.pb.h>

#include "server/rpc/service_parts.h"

namespace longspan {

class EncodeService final : public v1::EncoderService::WithRawCallbackMethod_Encode<
                                v1::EncoderService::WithRawCallbackMethod_EncodeStream<
                                    v1::EncoderService::WithRawCallbackMethod_EncodeTokens<
                                        v1::EncoderService::WithRawCallbackMethod_Tokenize<
                                            v1::EncoderService::WithRawCallbackMethod_GetModelInfo<
                                                v1::EncoderService::Service>>>>> {
 public:
  // `parts` outlives the service. The limits that hold for its calls become metrics.
  explicit EncodeService(const ServiceParts* parts);

  grpc::ServerUnaryReactor* Encode(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EncodeStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* EncodeTokens(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;

 private:
  const ServiceParts* const parts_;
};

}  // namespace longspan
