// HttpSearchCall: one HTTP request that searches in its documents: the counterpart of SearchCall
// (server/rpc/search_call.h). What the body and the answer look like is the part of an
// HttpSearchForm, one for each route.
//
// Lifetime and thread safety: those of an HttpCall (http_call.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "server/rest/http_call.h"
#include "server/search/search_request.h"

namespace longspan {

// One request of one route. Not thread safe: its steps follow one another; but Translate may be
// called from several threads at once.
class HttpSearchForm {
 public:
  virtual ~HttpSearchForm() = default;

  // Checks and decodes the body. What it allocates may throw (WithoutThrowing).
  virtual absl::StatusOr<SearchRequest> Read(const ServiceParts& parts, std::string body) = 0;
  // After Read: what the answer takes at most.
  virtual int64_t MostAnswerBytes() const = 0;
  // An error of the question (Searching::kQuery) or of a document, in the words of the route.
  virtual absl::Status Translate(size_t text, const absl::Status& status) const = 0;
  // Once. What it allocates may throw.
  virtual HttpResponse Answer(const SearchAnswer& answer, const StageTimings& timings) = 0;
  // The answer that tells why there is no other one.
  virtual HttpResponse Refusal(const absl::Status& status) const = 0;
};

class HttpSearchCall final : public HttpCall {
 public:
  HttpSearchCall(RpcMethod method, std::unique_ptr<HttpSearchForm> form,
                 std::shared_ptr<HttpExchange> exchange, const ServiceParts* parts)
      : HttpCall(method, std::move(exchange), parts), form_(std::move(form)) {}

 private:
  absl::Status Run(std::string body) override;
  HttpResponse Refusal(const absl::Status& status) const override { return form_->Refusal(status); }
  void OnText(const absl::StatusOr<EncodedDocument>& counts, const StageTimings& timings);
  void OnAnswer(const absl::StatusOr<SearchAnswer>& answer);

  const std::unique_ptr<HttpSearchForm> form_;

  StageTimings timings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
