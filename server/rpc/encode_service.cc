#include "server/rpc/encode_service.h"

#include <longspan/v1/encoder.pb.h>

#include <memory>

#include "server/rpc/collection_calls.h"
#include "server/rpc/encode_call.h"
#include "server/rpc/encode_stream_call.h"
#include "server/rpc/encode_tokens_call.h"
#include "server/rpc/request_call.h"
#include "server/rpc/search_call.h"
#include "server/rpc/tokenize_call.h"
#include "server/wire/limits.h"
#include "server/wire/model_info_encoder.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

class ModelInfoCall final : public RequestCall {
 public:
  ModelInfoCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kGetModelInfo, context, parts) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override {
    const ServiceParts& parts = call_.parts();
    v1::GetModelInfoRequest parsed;
    if (absl::Status status = ParseRequest(call_.parts(), request, &parsed); !status.ok())
      return status;
    v1::GetModelInfoResponse info;
    FillModelInfo(*parts.model, parts.tokenizer != nullptr, *parts.options, &info);
    absl::MutexLock lock(&mu_);
    if (!ended_) AnswerLocked(SerializeMessage(info));
    return absl::OkStatus();
  }
};

template <typename Call>
auto StartRequest(const ServiceParts* parts) {
  return [parts](grpc::CallbackServerContext* context) {
    return RequestCall::Start(std::make_shared<Call>(context, parts));
  };
}

}  // namespace

EncodeService::EncodeService(const ServiceParts* parts) {
  parts->metrics->SetLimits(LimitsInForce(*parts->model, *parts->options));
  Serve("/longspan.v1.EncoderService/Encode", StartRequest<EncodeCall>(parts));
  Serve("/longspan.v1.EncoderService/EncodeStream", [parts](grpc::CallbackServerContext* context) {
    return ItemStreamCall::Start(std::make_shared<EncodeStreamCall>(context, parts));
  });
  Serve("/longspan.v1.EncoderService/EncodeTokens", StartRequest<EncodeTokensCall>(parts));
  Serve("/longspan.v1.EncoderService/Search", [parts](grpc::CallbackServerContext* context) {
    return RequestCall::Start(
        std::make_shared<SearchCall>(RpcMethod::kSearch, NewSearchForm(), context, parts));
  });
  Serve("/longspan.v1.EncoderService/PutDocuments", StartRequest<PutDocumentsCall>(parts));
  Serve("/longspan.v1.EncoderService/DeleteDocuments", StartRequest<DeleteDocumentsCall>(parts));
  Serve("/longspan.v1.EncoderService/ListCollections", StartRequest<ListCollectionsCall>(parts));
  Serve("/longspan.v1.EncoderService/Tokenize", StartRequest<TokenizeCall>(parts));
  Serve("/longspan.v1.EncoderService/GetModelInfo", StartRequest<ModelInfoCall>(parts));
}

}  // namespace longspan
