// Answers about kept documents as messages of longspan.v1.
//
// Free functions without state: thread safe. Proven by collection_encoder_test.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>
#include <vector>

#include "server/batching/task_timer.h"
#include "server/search/put_request.h"

namespace longspan {

void FillCollection(const CollectionInfo& collection, v1::Collection* out);
// `ids`: of the documents of the request; they are moved out.
v1::PutDocumentsResponse PutResponseOf(const PutAnswer& answer, std::vector<std::string>& ids,
                                       const StageTimings& timings);
// What the answer takes at most, known before anything is read.
int64_t MostPutBytes(const std::vector<std::string>& ids);

}  // namespace longspan
