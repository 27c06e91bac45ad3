// SearchCall: one call that searches in the documents of its request: Search of longspan.v1, Rerank
// of tei.v1. It acquires permits for the question and all documents or for none, and hands them to
// a Searching, which answers once. What the messages look like is the part of a SearchForm.
//
// Lifetime and thread safety: those of a RequestCall (request_call.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "server/rpc/request_call.h"
#include "server/rpc/search_form.h"
#include "server/search/searching.h"

namespace longspan {

// Search of longspan.v1.
std::unique_ptr<SearchForm> NewSearchForm();

class SearchCall final : public RequestCall {
 public:
  SearchCall(RpcMethod method, std::unique_ptr<SearchForm> form,
             grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(method, context, parts), form_(std::move(form)) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override;
  void OnText(const absl::StatusOr<EncodedDocument>& counts, const StageTimings& timings);
  void OnAnswer(absl::StatusOr<SearchAnswer> answer);

  const std::unique_ptr<SearchForm> form_;

  StageTimings timings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
