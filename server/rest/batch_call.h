// BatchCall: one HTTP request whose inputs are worked on side by side and answered together, or not
// at all: the counterpart of EncodeCall. It acquires permits for all of them or none. The first
// error ends it and cancels what still waits.
//
// What the body and the answer look like is the part of a BatchRequest, one for each route.
//
// Lifetime and thread safety: those of an HttpCall (http_call.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "server/rest/http_call.h"
#include "server/rpc/item_work.h"

namespace longspan {

// What the inputs of a request took together.
struct BatchTotals {
  int64_t tokens = 0;  // that the model read
  int64_t characters = 0;
  StageTimings timings;  // the longest of each stage
};

// One request of one route. Not thread safe: its steps follow one another.
class BatchRequest {
 public:
  virtual ~BatchRequest() = default;

  // Reads the body: one piece of work for each part of the answer. Must not block. What it
  // allocates may throw (WithoutThrowing).
  virtual absl::StatusOr<std::vector<std::shared_ptr<ItemWork>>> Read(const ServiceParts& parts,
                                                                      std::string body) = 0;
  // The answer of all pieces, in the order of the work. What it allocates may throw.
  virtual HttpResponse Join(const std::vector<grpc::ByteBuffer>& pieces,
                            const BatchTotals& totals) = 0;
  // The answer that tells why there is no other one.
  virtual HttpResponse Refusal(const absl::Status& status) const = 0;
};

class BatchCall final : public HttpCall {
 public:
  BatchCall(RpcMethod method, std::unique_ptr<BatchRequest> request,
            std::shared_ptr<HttpExchange> exchange, const ServiceParts* parts)
      : HttpCall(method, std::move(exchange), parts), request_(std::move(request)) {}

 private:
  absl::Status Run(std::string body) override;
  HttpResponse Refusal(const absl::Status& status) const override {
    return request_->Refusal(status);
  }
  // False where the call has ended.
  bool NoteWorkInputs();
  void OnWorked(size_t index, const WorkResult& result);
  // Makes one piece, without the lock; the last one makes the answer.
  void Add(size_t index);
  void Answer();

  const std::unique_ptr<BatchRequest> request_;
  std::vector<std::shared_ptr<ItemWork>> work_;  // set before the first is handed over

  std::vector<grpc::ByteBuffer> pieces_ ABSL_GUARDED_BY(mu_);
  BatchTotals totals_ ABSL_GUARDED_BY(mu_);
  size_t missing_ ABSL_GUARDED_BY(mu_) = 0;  // pieces that are not made yet
};

}  // namespace longspan
