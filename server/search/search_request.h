// SearchRequest and SearchAnswer: a question to texts, and the texts and places that answer it, as
// decoded from the wire and before it is written again.
//
// Plain values, no protobuf.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/search/cells.h"
#include "core/search/ranking.h"
#include "core/token_batch.h"
#include "server/text/encode_input.h"
#include "server/text/token_places.h"

namespace longspan {

// Of a question, which every token of every document is compared with: special tokens included, and
// bytes.
inline constexpr int64_t kMaxQueryTokens = 512;
inline constexpr int64_t kMaxQueryBytes = 64 << 10;

// What each token of the question counts.
enum class QueryWeights {
  // Of the question's own tokens: the rarer, the more (core/search/token_weights.h).
  kIdf,
  // All alike of the question's own tokens that have a letter or a digit.
  kEqual,
  // All alike, special tokens, prefix and expansion too, as multi-vector models learn it.
  kAllTokens
};

struct SearchSettings {
  RankingOptions ranking;
  int64_t cell_tokens = kCellTokens;  // half a passage
  QueryWeights weights = QueryWeights::kIdf;
  std::string language;      // of the words' stems (server/text/stems.h)
  bool best_tokens = false;  // whether FoundSpan::best_tokens are wanted
};

// A collection, which is of its owner: the name of the caller's key, or empty where none are asked
// for.
struct CollectionRef {
  std::string owner;
  std::string name;
};

// Of the tokens of a question that are compared. One of its own text has a byte of it at least.
inline int64_t MostQueryTokens(const EncodeInput& query, QueryWeights weights) {
  return weights == QueryWeights::kAllTokens
             ? kMaxQueryTokens
             : std::min(kMaxQueryTokens, static_cast<int64_t>(query.text.size()));
}

struct SearchRequest {
  EncodeInput query;                   // a text
  std::vector<EncodeInput> documents;  // texts; none where there is a collection
  std::optional<CollectionRef> collection;
  SearchSettings settings;
};

// A token of the question, and the token of a passage that is most similar to it.
struct FoundToken {
  TokenPlace query;         // in the question; empty where it does not hold the token
  TokenPlace text;          // in the document
  float similarity = 0.0f;  // their cosine
  float weight = 0.0f;      // of the question's token
};

struct FoundSpan {
  TextRange bytes;       // of the text
  TextRange characters;  // of the text
  TokenRange tokens;     // of the whole text, special tokens counted
  double score = 0.0;
  float similarity = 0.0f;              // weighted mean cosine, from -1 to 1
  std::vector<FoundToken> best_tokens;  // in the order of the question
};

struct FoundDocument {
  size_t index = 0;  // among the documents of the request
  std::string id;    // of a document of a collection
  double score = 0.0;
  float similarity = 0.0f;  // of its most similar passage
  double bm25 = 0.0;        // of its best block
  std::vector<FoundSpan> spans;
  int64_t tokens_total = 0;          // as in EncodedDocument
  int64_t tokens_used = 0;           // as in EncodedDocument
  std::vector<TextRange> used_text;  // as in EncodedDocument
};

struct SearchAnswer {
  std::vector<FoundDocument> documents;  // best first
  int64_t query_tokens = 0;              // that the model read
  bool query_truncated = false;
  int64_t documents_tokens = 0;     // that the model read, of all documents
  int64_t documents_truncated = 0;  // documents of which it read only a part
};

}  // namespace longspan
