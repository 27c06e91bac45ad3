// PutRequest and PutAnswer: documents to keep, and what was read of them.
//
// Plain values, no protobuf.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/collections/collection.h"
#include "server/search/search_request.h"
#include "server/text/encode_input.h"

namespace longspan {

struct PutRequest {
  CollectionRef collection;
  std::vector<EncodeInput> documents;  // texts
  std::vector<std::string> ids;        // of each, all different
  // What the request says of the collection; what it leaves open is that of the collection, or the
  // default of a new one.
  std::optional<TokenFormat> format;
  std::optional<int64_t> cell_tokens;
  std::optional<std::string> language;
  absl::Duration time_to_live = absl::InfiniteDuration();
};

struct ReadDocument {
  int64_t tokens_total = 0;  // as in EncodedDocument
  int64_t tokens_used = 0;   // as in EncodedDocument
};

struct PutAnswer {
  std::vector<ReadDocument> documents;  // one for each, in order
  int64_t added = 0, replaced = 0;
  CollectionInfo collection;
};

}  // namespace longspan
