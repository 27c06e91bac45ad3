#include "server/rest/collection_routes.h"

#include <longspan/v1/encoder.pb.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "server/rest/http_call.h"
#include "server/rest/http_put.h"
#include "server/rest/ignored_fields.h"
#include "server/rest/json_message.h"
#include "server/rest/longspan_routes.h"
#include "server/rest/route_options.h"
#include "server/rpc/collection_requests.h"

namespace longspan {
namespace {

HttpResponse AnswerOf(const google::protobuf::Message& message, const IgnoredFields& ignored) {
  HttpResponse response{.content_type = "application/json",
                        .body = WriteMessage(message, /*all_fields=*/true) + "\n"};
  ignored.AddHeader(&response);
  return response;
}

// A call that needs no pass: a thread of the tokenizer pool answers it at once.
class StoreCall final : public HttpCall {
 public:
  using Answer = std::function<absl::StatusOr<HttpResponse>(
      const CallRecord& call, const HttpRequest& request, std::string body)>;

  StoreCall(RpcMethod method, Answer answer, std::shared_ptr<HttpExchange> exchange,
            const ServiceParts* parts)
      : HttpCall(method, std::move(exchange), parts), make_answer_(std::move(answer)) {}

 private:
  absl::Status Run(std::string body) override {
    call_.parts().tokenizers->Submit(
        call_.client(), /*bytes=*/0,
        [call = Shared<StoreCall>(), held = std::move(body)](absl::Status status) mutable {
          HttpResponse response;
          if (status.ok()) {
            status = WithoutThrowing([&] {
              auto made =
                  call->make_answer_(call->call_, call->exchange_->request(), std::move(held));
              if (!made.ok()) return made.status();
              response = *std::move(made);
              return absl::OkStatus();
            });
          }
          absl::MutexLock lock(&call->mu_);
          if (call->ended_) return;
          if (!status.ok()) return call->RefuseLocked(status);
          call->AnswerLocked(std::move(response));
        });
    return absl::OkStatus();
  }
  HttpResponse Refusal(const absl::Status& status) const override {
    return LongspanRefusal(status);
  }

  const Answer make_answer_;
};

absl::StatusOr<HttpResponse> DeleteSome(const CallRecord& call, const HttpRequest& request,
                                        const std::string& body) {
  IgnoredFields ignored(call.parts().options->strict_json);
  auto json = ReadJson(body);
  if (!json.ok()) return json.status();
  v1::DeleteDocumentsRequest message;
  if (absl::Status status = ReadMessage(*std::move(json), &message, &ignored); !status.ok())
    return status;
  if (!message.collection().empty()) {
    return InvalidField("collection", "is given by the path and by the body; allowed: by the path");
  }
  message.set_collection(request.segment);
  const auto response = DeleteKept(call, &message);
  if (!response.ok()) return response.status();
  return AnswerOf(*response, ignored);
}

absl::StatusOr<HttpResponse> DeleteAll(const CallRecord& call, const HttpRequest& request,
                                       const std::string& /*body*/) {
  v1::DeleteDocumentsRequest message;
  message.set_collection(request.segment);
  message.set_all(true);
  const auto response = DeleteKept(call, &message);
  if (!response.ok()) return response.status();
  return AnswerOf(*response, IgnoredFields());
}

absl::StatusOr<HttpResponse> List(const CallRecord& call, const HttpRequest& /*request*/,
                                  const std::string& /*body*/) {
  const auto response = ListKept(call);
  if (!response.ok()) return response.status();
  return AnswerOf(*response, IgnoredFields());
}

}  // namespace

void AddCollectionRoutes(const ServiceParts* parts, HttpServer* http) {
  http->AddAsyncRoute("PUT", "/collections/{name}/documents", ApiRoute(*parts),
                      [parts](std::shared_ptr<HttpExchange> exchange) {
                        HttpCall::Start(std::make_shared<HttpPutCall>(std::move(exchange), parts));
                      });
  const auto add = [&](const char* method, const char* path, RpcMethod rpc_method,
                       StoreCall::Answer answer) {
    http->AddAsyncRoute(
        method, path, ApiRoute(*parts),
        [parts, rpc_method, answer = std::move(answer)](std::shared_ptr<HttpExchange> exchange) {
          HttpCall::Start(
              std::make_shared<StoreCall>(rpc_method, answer, std::move(exchange), parts));
        });
  };
  add("POST", "/collections/{name}/delete", RpcMethod::kHttpDeleteDocuments, DeleteSome);
  add("DELETE", "/collections/{name}", RpcMethod::kHttpDeleteDocuments, DeleteAll);
  add("GET", "/collections", RpcMethod::kHttpListCollections, List);
}

}  // namespace longspan
