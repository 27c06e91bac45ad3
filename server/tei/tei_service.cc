#include "server/tei/tei_service.h"

#include <tei/v1/tei.pb.h>

#include <memory>
#include <string>
#include <utility>

#include "server/rpc/item_stream_call.h"
#include "server/rpc/request_call.h"
#include "server/rpc/search_call.h"
#include "server/tei/embed_work.h"
#include "server/tei/info.h"
#include "server/tei/rerank_form.h"
#include "server/tei/tei_requests.h"
#include "server/tei/tokenize_work.h"
#include "server/tei/unary_call.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

class InfoCall final : public RequestCall {
 public:
  InfoCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kTeiInfo, context, parts) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override {
    const ServiceParts& parts = call_.parts();
    tei::v1::InfoRequest parsed;
    if (absl::Status status = ParseRequest(call_.parts(), request, &parsed); !status.ok())
      return status;
    tei::v1::InfoResponse info;
    FillInfo(*parts.model, *parts.options, &info);
    absl::MutexLock lock(&mu_);
    if (!ended_) AnswerLocked(SerializeMessage(info));
    return absl::OkStatus();
  }
};

template <typename Work>
class StreamCall final : public ItemStreamCall {
 public:
  StreamCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts)
      : ItemStreamCall(method, AnswerOrder::kAsRead, context, parts) {}

 private:
  std::shared_ptr<ItemWork> NewWork() override { return std::make_shared<Work>(); }
};

// A call of a method that is not served. It reads no message.
class UnservedCall final : public RawReactor {
 public:
  UnservedCall(grpc::CallbackServerContext* context, const ServiceParts* parts, const char* reason)
      : call_(RpcMethod::kTeiUnserved, context, parts) {
    absl::Status status = call_.Admit();
    if (status.ok()) status = absl::UnimplementedError(reason);
    Finish(call_.Finish(status));
  }

  void OnDone() override { delete this; }

 private:
  RpcCall call_;
};

template <typename Work>
auto StartUnary(RpcMethod method, const ServiceParts* parts) {
  return [method, parts](grpc::CallbackServerContext* context) {
    return RequestCall::Start(
        std::make_shared<UnaryCall>(method, std::make_shared<Work>(), context, parts));
  };
}

template <typename Work>
auto StartStream(RpcMethod method, const ServiceParts* parts) {
  return [method, parts](grpc::CallbackServerContext* context) {
    return ItemStreamCall::Start(std::make_shared<StreamCall<Work>>(method, context, parts));
  };
}

auto StartUnserved(const char* reason, const ServiceParts* parts) {
  return [reason, parts](grpc::CallbackServerContext* context) {
    return new UnservedCall(context, parts, reason);
  };
}

}  // namespace

TeiService::TeiService(const ServiceParts* parts) {
  Serve("/tei.v1.Info/Info", [parts](grpc::CallbackServerContext* context) {
    return RequestCall::Start(std::make_shared<InfoCall>(context, parts));
  });
  Serve("/tei.v1.Embed/Embed", StartUnary<EmbedWork>(RpcMethod::kTeiEmbed, parts));
  Serve("/tei.v1.Embed/EmbedStream", StartStream<EmbedWork>(RpcMethod::kTeiEmbedStream, parts));
  Serve("/tei.v1.Embed/EmbedAll", StartUnary<EmbedAllWork>(RpcMethod::kTeiEmbedAll, parts));
  Serve("/tei.v1.Embed/EmbedAllStream",
        StartStream<EmbedAllWork>(RpcMethod::kTeiEmbedAllStream, parts));
  Serve("/tei.v1.Embed/EmbedSparse",
        StartUnary<EmbedSparseWork>(RpcMethod::kTeiEmbedSparse, parts));
  Serve("/tei.v1.Embed/EmbedSparseStream",
        StartStream<EmbedSparseWork>(RpcMethod::kTeiEmbedSparseStream, parts));
  Serve("/tei.v1.Tokenize/Tokenize", StartUnary<TokenizeWork>(RpcMethod::kTeiTokenize, parts));
  Serve("/tei.v1.Tokenize/TokenizeStream",
        StartStream<TokenizeWork>(RpcMethod::kTeiTokenizeStream, parts));
  Serve("/tei.v1.Tokenize/Decode", StartUnary<DecodeWork>(RpcMethod::kTeiDecode, parts));
  Serve("/tei.v1.Tokenize/DecodeStream",
        StartStream<DecodeWork>(RpcMethod::kTeiDecodeStream, parts));
  Serve("/tei.v1.Predict/Predict", StartUnserved(kNoClassifier, parts));
  Serve("/tei.v1.Predict/PredictPair", StartUnserved(kNoClassifier, parts));
  Serve("/tei.v1.Predict/PredictStream", StartUnserved(kNoClassifier, parts));
  Serve("/tei.v1.Predict/PredictPairStream", StartUnserved(kNoClassifier, parts));
  Serve("/tei.v1.Rerank/Rerank", [parts](grpc::CallbackServerContext* context) {
    return RequestCall::Start(
        std::make_shared<SearchCall>(RpcMethod::kTeiRerank, NewRerankForm(), context, parts));
  });
  Serve("/tei.v1.Rerank/RerankStream", StartUnserved(kNoRerankStream, parts));
}

}  // namespace longspan
