#include "server/wire/collection_encoder.h"

#include <utility>

#include "core/search/cells.h"
#include "server/wire/enums.h"
#include "server/wire/response_encoder.h"

namespace longspan {

void FillCollection(const CollectionInfo& collection, v1::Collection* out) {
  out->set_name(collection.name);
  if (!collection.status.ok()) {
    out->set_error(std::string(collection.status.message()));
    return;
  }
  out->set_documents(collection.documents);
  out->set_tokens(collection.tokens);
  out->set_bytes(collection.bytes);
  out->set_format(WireKeptFormat(collection.settings.format));
  out->set_span_tokens(static_cast<uint32_t>(collection.settings.cell_tokens * kCellsOfAPassage));
  out->set_language(collection.settings.language);
}

v1::PutDocumentsResponse PutResponseOf(const PutAnswer& answer, std::vector<std::string>& ids,
                                       const StageTimings& timings) {
  v1::PutDocumentsResponse response;
  for (size_t i = 0; i < answer.documents.size(); ++i) {
    const ReadDocument& text = answer.documents[i];
    v1::PutResult* result = response.add_results();
    result->set_id(std::move(ids[i]));
    result->set_tokens_total(text.tokens_total);
    result->set_tokens_used(text.tokens_used);
    result->set_truncated(text.tokens_used < text.tokens_total);
  }
  response.set_added(static_cast<uint32_t>(answer.added));
  response.set_replaced(static_cast<uint32_t>(answer.replaced));
  FillCollection(answer.collection, response.mutable_collection());
  FillTimings(timings, response.mutable_timings());
  return response;
}

int64_t MostPutBytes(const std::vector<std::string>& ids) {
  constexpr int64_t kMostOtherBytes = 512 + kMostTimingsBytes, kMostResultBytes = 48;
  int64_t bytes = kMostOtherBytes;
  for (const std::string& id : ids) bytes += kMostResultBytes + static_cast<int64_t>(id.size());
  return bytes;
}

}  // namespace longspan
