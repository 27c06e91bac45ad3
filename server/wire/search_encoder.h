// The answer to a search as a longspan.v1.SearchResponse.
//
// Free functions without state: thread safe. Proven by search_encoder_test.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <string>
#include <vector>

#include "server/batching/task_timer.h"
#include "server/search/search_request.h"

namespace longspan {

// `ids`: of the documents of the request, empty where there is a collection; those that are
// answered are moved out.
v1::SearchResponse SearchResponseOf(const SearchAnswer& answer, std::vector<std::string>& ids,
                                    const StageTimings& timings);

// What the answer takes at most, known before anything is read.
int64_t MostSearchBytes(const SearchRequest& request, const std::vector<std::string>& ids);

}  // namespace longspan
