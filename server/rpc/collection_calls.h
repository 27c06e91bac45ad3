// The calls about kept documents: PutDocuments, whose documents go through the engine (PutJob), and
// DeleteDocuments, which a thread of the tokenizer pool does, and ListCollections
// (collection_requests.h).
//
// Lifetime and thread safety: those of a RequestCall (request_call.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "server/rpc/request_call.h"
#include "server/search/put_job.h"

namespace longspan {

class PutDocumentsCall final : public RequestCall {
 public:
  PutDocumentsCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kPutDocuments, context, parts) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override;
  void OnText(const absl::StatusOr<EncodedDocument>& counts, const StageTimings& timings);
  void OnAnswer(const absl::StatusOr<PutAnswer>& answer);

  std::vector<std::string> ids_;  // of the documents; set in Run
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
};

class DeleteDocumentsCall final : public RequestCall {
 public:
  DeleteDocumentsCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kDeleteDocuments, context, parts) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override;

  v1::DeleteDocumentsRequest request_;
};

class ListCollectionsCall final : public RequestCall {
 public:
  ListCollectionsCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kListCollections, context, parts) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override;
};

}  // namespace longspan
