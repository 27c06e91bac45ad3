// Searching: one search, by whichever door it came: over the texts of its request (search_job.h),
// or in a collection (kept_search_job.h).
//
//   auto search = NewSearching(std::move(request), engine);
//   admission->TryAcquire(search->Claims(max_tokens), ...)
//   search->Begin(order);                              answers once, by order.done
//
// Thread safety: the steps follow one another; done may be called on any thread.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/batching/admission.h"
#include "server/search/search_engine.h"
#include "server/search/search_request.h"

namespace longspan {

class Searching {
 public:
  // Where errors and results are told, the question is text 0, and document i text i + 1.
  static constexpr size_t kQuery = 0;

  using Order = TextsOrder<SearchAnswer>;

  virtual ~Searching() = default;

  // What admission should count: of the question, then of each document of the request.
  virtual std::vector<AdmissionClaim> Claims(int64_t max_tokens) const = 0;
  virtual const std::vector<EncodeInput>& documents() const = 0;
  virtual const EncodeInput& query() const = 0;
  // Hands everything over and returns. Once.
  virtual void Begin(Order order) = 0;
};

// INVALID_ARGUMENT where the language of the words is not known, NOT_FOUND where there is no such
// collection, FAILED_PRECONDITION where none are kept.
absl::StatusOr<std::shared_ptr<Searching>> NewSearching(SearchRequest request,
                                                        const SearchEngine& engine);

}  // namespace longspan
