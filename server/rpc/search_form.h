// SearchForm: what one request of one gRPC method that searches means: how it is read, and how its
// answer is written. The call (search_call.h) owns the transport.
//
// Lifetime: that of its call. Thread safety: none of its own. The steps follow one another, each on
// any thread; Translate may be called from several at once.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/batching/task_timer.h"
#include "server/rpc/service_parts.h"
#include "server/search/search_request.h"

namespace longspan {

class SearchForm {
 public:
  virtual ~SearchForm() = default;

  // Checks and decodes the request. What it allocates may throw (WithoutThrowing).
  virtual absl::StatusOr<SearchRequest> Read(const ServiceParts& parts,
                                             const grpc::ByteBuffer& bytes) = 0;
  // After Read: what the answer takes at most.
  virtual int64_t MostAnswerBytes() const = 0;
  // An error of the question (Searching::kQuery) or of a document, in the words of the contract.
  virtual absl::Status Translate(size_t text, const absl::Status& status) const = 0;
  // Once. What it allocates may throw.
  virtual grpc::ByteBuffer Answer(SearchAnswer answer, const StageTimings& timings) = 0;
};

}  // namespace longspan
