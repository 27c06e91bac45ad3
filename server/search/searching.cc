#include "server/search/searching.h"

#include <utility>

#include "server/search/kept_search_job.h"
#include "server/search/search_job.h"

namespace longspan {

absl::StatusOr<std::shared_ptr<Searching>> NewSearching(SearchRequest request,
                                                        const SearchEngine& engine) {
  if (!request.collection.has_value()) return SearchJob::Create(std::move(request), engine);
  return KeptSearchJob::Create(std::move(request), engine);
}

}  // namespace longspan
