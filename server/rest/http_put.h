// HttpPutCall: PUT /collections/NAME/documents, the counterpart of PutDocumentsCall
// (server/rpc/collection_calls.h).
//
// Lifetime and thread safety: those of an HttpCall (http_call.h).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "server/rest/http_call.h"
#include "server/rest/ignored_fields.h"
#include "server/search/put_job.h"

namespace longspan {

class HttpPutCall final : public HttpCall {
 public:
  HttpPutCall(std::shared_ptr<HttpExchange> exchange, const ServiceParts* parts)
      : HttpCall(RpcMethod::kHttpPutDocuments, std::move(exchange), parts) {}

 private:
  absl::Status Run(std::string body) override;
  HttpResponse Refusal(const absl::Status& status) const override;
  absl::StatusOr<PutRequest> Read(std::string body);
  void OnText(const absl::StatusOr<EncodedDocument>& counts, const StageTimings& timings);
  void OnAnswer(const absl::StatusOr<PutAnswer>& answer);

  // Set in Run.
  IgnoredFields ignored_;
  std::vector<std::string> ids_;  // of the documents
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
