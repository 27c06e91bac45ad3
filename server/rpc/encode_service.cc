#include "server/rpc/encode_service.h"

#include "server/rpc/encode_call.h"
#include "server/rpc/encode_stream_call.h"
#include "server/rpc/encode_tokens_call.h"
#include "server/rpc/rpc_call.h"
#include "server/rpc/tokenize_call.h"
#include "server/wire/limits.h"
#include "server/wire/model_info_encoder.h"

namespace longspan {

EncodeService::EncodeService(const ServiceParts* parts) : parts_(parts) {
  parts_->metrics->SetLimits(LimitsInForce(*parts_->model, *parts_->options));
}

grpc::ServerUnaryReactor* EncodeService::Encode(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* request,
                                                grpc::ByteBuffer* response) {
  return EncodeCall::Start(context, *request, response, parts_);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EncodeService::EncodeStream(
    grpc::CallbackServerContext* context) {
  return EncodeStreamCall::Start(context, parts_);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* EncodeService::EncodeTokens(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return EncodeTokensCall::Start(context, *request, parts_);
}

grpc::ServerUnaryReactor* EncodeService::Tokenize(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* request,
                                                  grpc::ByteBuffer* response) {
  return TokenizeCall::Start(context, *request, response, parts_);
}

grpc::ServerUnaryReactor* EncodeService::GetModelInfo(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  RpcCall call(RpcMethod::kGetModelInfo, context, parts_);
  v1::GetModelInfoRequest parsed;
  absl::Status status = call.Admit();
  if (status.ok()) status = call.Parse(*request, &parsed);
  if (status.ok()) {
    v1::GetModelInfoResponse info;
    FillModelInfo(*parts_->model, parts_->tokenizer != nullptr, *parts_->options, &info);
    *response = SerializeMessage(info);
  }
  reactor->Finish(call.Finish(status));
  return reactor;
}

}  // namespace longspan
