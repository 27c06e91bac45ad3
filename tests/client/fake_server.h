// FakeServer: a server on a free port of 127.0.0.1 that answers as a test tells it. It implements
// EncoderService and grpc.health.v1.Health from the generated headers, and uses nothing of server/.
// It listens from the constructor until the destructor.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.grpc.pb.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace longspan {

class FakeServer final : public v1::EncoderService::Service,
                         public grpc::health::v1::Health::Service {
 public:
  using Health = grpc::health::v1::HealthCheckResponse;
  // What a call of Encode does; `attempt` is the number of the call, from 1. Without it Encode
  // answers OK with an empty response.
  using OnEncode = std::function<grpc::Status(int attempt, grpc::ServerContext*,
                                              const v1::EncodeRequest&, v1::EncodeResponse*)>;

  FakeServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(static_cast<v1::EncoderService::Service*>(this));
    builder.RegisterService(static_cast<grpc::health::v1::Health::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void set_on_encode(OnEncode on_encode) {
    const std::lock_guard lock(mu_);
    on_encode_ = std::move(on_encode);
  }
  // What a call of EncodeTokens does; `attempt` is the number of the call, from 1.
  using OnEncodeTokens =
      std::function<grpc::Status(int attempt, grpc::ServerWriter<v1::EncodeTokensResponse>*)>;
  void set_on_encode_tokens(OnEncodeTokens on_encode_tokens) {
    const std::lock_guard lock(mu_);
    on_encode_tokens_ = std::move(on_encode_tokens);
  }
  // What becomes of an item of EncodeStream. Without it each is answered with its id and an empty
  // encoding.
  using OnItem = std::function<void(const v1::EncodeStreamRequest&, v1::EncodeStreamResponse*)>;
  void set_on_item(OnItem on_item) {
    const std::lock_guard lock(mu_);
    on_item_ = std::move(on_item);
  }
  // What Search answers; empty = the first document, without spans.
  void set_search_response(v1::SearchResponse response) {
    const std::lock_guard lock(mu_);
    search_response_ = std::move(response);
  }
  v1::SearchRequest last_search() const {
    const std::lock_guard lock(mu_);
    return last_search_;
  }
  // What a call of PutDocuments does. Without it each document is kept, with as many tokens as its
  // text has bytes.
  using OnPut =
      std::function<grpc::Status(const v1::PutDocumentsRequest&, v1::PutDocumentsResponse*)>;
  void set_on_put(OnPut on_put) {
    const std::lock_guard lock(mu_);
    on_put_ = std::move(on_put);
  }
  // All requests of PutDocuments, and all of DeleteDocuments.
  std::vector<v1::PutDocumentsRequest> puts() const {
    const std::lock_guard lock(mu_);
    return puts_;
  }
  std::vector<v1::DeleteDocumentsRequest> deletes() const {
    const std::lock_guard lock(mu_);
    return deletes_;
  }
  // What ListCollections answers.
  void set_collections(v1::ListCollectionsResponse collections) {
    const std::lock_guard lock(mu_);
    collections_ = std::move(collections);
  }
  // What GetModelInfo says of them.
  void set_limits(v1::Limits limits) {
    const std::lock_guard lock(mu_);
    limits_ = std::move(limits);
  }
  v1::TokenizeRequest last_tokenize() const {
    const std::lock_guard lock(mu_);
    return last_tokenize_;
  }
  // Makes the first `checks` health checks answer NOT_SERVING, and later ones SERVING.
  void set_not_serving_for(int checks) {
    const std::lock_guard lock(mu_);
    not_serving_for_ = checks;
  }
  int encode_calls() const {
    const std::lock_guard lock(mu_);
    return encode_calls_;
  }
  int health_checks() const {
    const std::lock_guard lock(mu_);
    return health_checks_;
  }
  v1::EncodeRequest last_request() const {
    const std::lock_guard lock(mu_);
    return last_request_;
  }
  std::string last_authorization() const {
    const std::lock_guard lock(mu_);
    return last_authorization_;
  }

 private:
  grpc::Status Encode(grpc::ServerContext* context, const v1::EncodeRequest* request,
                      v1::EncodeResponse* response) override {
    OnEncode on_encode;
    int attempt = 0;
    {
      const std::lock_guard lock(mu_);
      attempt = ++encode_calls_;
      last_request_ = *request;
      const auto key = context->client_metadata().find("authorization");
      if (key != context->client_metadata().end())
        last_authorization_.assign(key->second.data(), key->second.size());
      on_encode = on_encode_;
    }
    return on_encode ? on_encode(attempt, context, *request, response) : grpc::Status::OK;
  }
  grpc::Status EncodeStream(grpc::ServerContext*,
                            grpc::ServerReaderWriter<v1::EncodeStreamResponse,
                                                     v1::EncodeStreamRequest>* stream) override {
    OnItem on_item;
    {
      const std::lock_guard lock(mu_);
      on_item = on_item_;
    }
    v1::EncodeStreamRequest item;
    v1::EncodeOptions options;
    while (stream->Read(&item)) {
      if (item.has_options()) options = item.options();
      *item.mutable_options() = options;
      v1::EncodeStreamResponse response;
      response.mutable_encoding()->set_id(item.input().id());
      if (on_item) on_item(item, &response);
      if (!stream->Write(response)) break;
    }
    return grpc::Status::OK;
  }
  grpc::Status Search(grpc::ServerContext*, const v1::SearchRequest* request,
                      v1::SearchResponse* response) override {
    const std::lock_guard lock(mu_);
    last_search_ = *request;
    *response = search_response_;
    if (response->results().empty()) response->add_results()->set_id(request->documents(0).id());
    return grpc::Status::OK;
  }
  grpc::Status PutDocuments(grpc::ServerContext*, const v1::PutDocumentsRequest* request,
                            v1::PutDocumentsResponse* response) override {
    OnPut on_put;
    {
      const std::lock_guard lock(mu_);
      puts_.push_back(*request);
      on_put = on_put_;
    }
    if (on_put) {
      if (grpc::Status status = on_put(*request, response); !status.ok()) return status;
    }
    for (const v1::SearchDocument& document : request->documents()) {
      v1::PutResult* result = response->add_results();
      result->set_id(document.id());
      result->set_tokens_used(document.text().size());
      result->set_truncated(document.text().starts_with("long"));
    }
    response->mutable_collection()->set_name(request->collection());
    return grpc::Status::OK;
  }
  // Each id, and with `all` 7 documents, were there.
  grpc::Status DeleteDocuments(grpc::ServerContext*, const v1::DeleteDocumentsRequest* request,
                               v1::DeleteDocumentsResponse* response) override {
    const std::lock_guard lock(mu_);
    deletes_.push_back(*request);
    response->set_deleted(request->all() ? 7 : request->ids_size());
    return grpc::Status::OK;
  }
  grpc::Status ListCollections(grpc::ServerContext*, const v1::ListCollectionsRequest*,
                               v1::ListCollectionsResponse* response) override {
    const std::lock_guard lock(mu_);
    *response = collections_;
    return grpc::Status::OK;
  }
  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse*) override {
    const std::lock_guard lock(mu_);
    last_tokenize_ = *request;
    return grpc::Status::OK;
  }
  grpc::Status EncodeTokens(grpc::ServerContext*, const v1::EncodeTokensRequest*,
                            grpc::ServerWriter<v1::EncodeTokensResponse>* out) override {
    OnEncodeTokens on_encode_tokens;
    int attempt = 0;
    {
      const std::lock_guard lock(mu_);
      attempt = ++encode_tokens_calls_;
      on_encode_tokens = on_encode_tokens_;
    }
    return on_encode_tokens ? on_encode_tokens(attempt, out) : grpc::Status::OK;
  }
  grpc::Status GetModelInfo(grpc::ServerContext*, const v1::GetModelInfoRequest*,
                            v1::GetModelInfoResponse* response) override {
    response->set_model("fake");
    response->set_dimensions(384);
    response->set_vocab_size(1000);
    const std::lock_guard lock(mu_);
    *response->mutable_limits() = limits_;
    return grpc::Status::OK;
  }
  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest* request,
                     Health* response) override {
    if (!request->service().empty() && request->service() != "longspan.v1.EncoderService")
      return {grpc::StatusCode::NOT_FOUND, "unknown service"};
    const std::lock_guard lock(mu_);
    response->set_status(++health_checks_ > not_serving_for_ ? Health::SERVING
                                                             : Health::NOT_SERVING);
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable std::mutex mu_;
  OnEncode on_encode_;
  OnEncodeTokens on_encode_tokens_;
  OnItem on_item_;
  v1::SearchRequest last_search_;
  v1::SearchResponse search_response_;
  OnPut on_put_;
  std::vector<v1::PutDocumentsRequest> puts_;
  std::vector<v1::DeleteDocumentsRequest> deletes_;
  v1::ListCollectionsResponse collections_;
  v1::Limits limits_;
  v1::TokenizeRequest last_tokenize_;
  int encode_calls_ = 0;
  int encode_tokens_calls_ = 0;
  int health_checks_ = 0;
  int not_serving_for_ = 0;
  v1::EncodeRequest last_request_;
  std::string last_authorization_;
};

}  // namespace longspan
