// EncodeService: the handlers of longspan.v1.EncoderService. Each one makes a reactor
// (encode_call.h, encode_stream_call.h, encode_tokens_call.h) that decodes, asks for admission,
// hands tasks over and returns: no handler blocks or computes. Messages arrive as bytes and are
// parsed here, so that a bad one is INVALID_ARGUMENT and not gRPC's INTERNAL.
//
// Thread safety: gRPC calls the handlers from many threads.
#pragma once

#include <longspan/v1/encoder.grpc.pb.h>

#include "server/rpc/rpc_call.h"

namespace longspan {

class EncodeService final : public v1::EncoderService::WithRawCallbackMethod_Encode<
                                v1::EncoderService::WithRawCallbackMethod_EncodeStream<
                                    v1::EncoderService::WithRawCallbackMethod_EncodeTokens<
                                        v1::EncoderService::WithRawCallbackMethod_Tokenize<
                                            v1::EncoderService::WithRawCallbackMethod_GetModelInfo<
                                                v1::EncoderService::Service>>>>> {
 public:
  explicit EncodeService(const ServiceParts* parts) : parts_(parts) {}

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
