#include "server/wire/search_encoder.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "server/wire/input_decoder.h"
#include "server/wire/response_encoder.h"

namespace longspan {
namespace {

// Three ranges of two numbers, a double and a float, each with its tag: 3 * (2 + 2 * 6) + 9 + 5.
constexpr int64_t kMostSpanBytes = 64;
// Two ranges of a document, two of a question (up to 65,536) and two floats, with the tag and the
// length of all: 2 * (2 + 2 * 6) + 2 * (2 + 2 * 4) + 2 * 5 + 2.
constexpr int64_t kMostBestTokenBytes = 60;
// Of a document beside its id and its spans: numbers, and the two ranges of its used text.
constexpr int64_t kMostDocumentBytes = 128;
constexpr int64_t kMostOtherBytes = 64 + kMostTimingsBytes;

void FillRange(int64_t begin, int64_t end, v1::Range* out) {
  out->set_begin(begin);
  out->set_end(end);
}

void FillBestToken(const FoundToken& found, v1::BestToken* out) {
  const TokenPlace& asked = found.query;
  const TokenPlace& at = found.text;
  if (asked.byte_end > asked.byte_begin) {
    FillRange(asked.byte_begin, asked.byte_end, out->mutable_query_bytes());
    FillRange(asked.character_begin, asked.character_end, out->mutable_query_characters());
  }
  FillRange(at.byte_begin, at.byte_end, out->mutable_bytes());
  FillRange(at.character_begin, at.character_end, out->mutable_characters());
  out->set_similarity(found.similarity);
  out->set_weight(found.weight);
}

void FillSpan(const FoundSpan& span, v1::SearchSpan* out) {
  FillRange(span.bytes.begin, span.bytes.end, out->mutable_bytes());
  FillRange(span.characters.begin, span.characters.end, out->mutable_characters());
  FillRange(span.tokens.begin, span.tokens.end, out->mutable_tokens());
  out->set_score(span.score);
  out->set_similarity(span.similarity);
  for (const FoundToken& found : span.best_tokens) FillBestToken(found, out->add_best_tokens());
}

void FillResult(const FoundDocument& found, std::string id, v1::SearchResult* out) {
  out->set_index(static_cast<uint32_t>(found.index));
  out->set_id(std::move(id));
  out->set_score(found.score);
  out->set_similarity(found.similarity);
  out->set_bm25(found.bm25);
  for (const FoundSpan& span : found.spans) FillSpan(span, out->add_spans());
  out->set_tokens_total(found.tokens_total);
  out->set_tokens_used(found.tokens_used);
  out->set_truncated(found.tokens_used < found.tokens_total);
  for (const TextRange& range : found.used_text)
    FillRange(range.begin, range.end, out->add_used_text());
}

}  // namespace

v1::SearchResponse SearchResponseOf(const SearchAnswer& answer, std::vector<std::string>& ids,
                                    const StageTimings& timings) {
  v1::SearchResponse response;
  for (const FoundDocument& found : answer.documents)
    FillResult(found, ids.empty() ? found.id : std::move(ids[found.index]), response.add_results());
  response.set_query_tokens(answer.query_tokens);
  response.set_query_truncated(answer.query_truncated);
  response.set_documents_tokens(answer.documents_tokens);
  response.set_documents_truncated(static_cast<uint32_t>(answer.documents_truncated));
  FillTimings(timings, response.mutable_timings());
  return response;
}

int64_t MostSearchBytes(const SearchRequest& request, const std::vector<std::string>& ids) {
  const RankingOptions& ranking = request.settings.ranking;
  int64_t span_bytes = kMostSpanBytes;
  if (request.settings.best_tokens)
    span_bytes += MostQueryTokens(request.query, request.settings.weights) * kMostBestTokenBytes;
  if (request.collection.has_value()) {
    const auto spans = static_cast<int64_t>(ranking.max_passages);
    const int64_t a_document = kMostDocumentBytes + kMaxIdBytes + spans * span_bytes;
    return kMostOtherBytes + static_cast<int64_t>(ranking.max_documents) * a_document;
  }
  const auto documents =
      static_cast<int64_t>(std::min(ranking.max_documents, request.documents.size()));
  std::vector<int64_t> sizes;
  sizes.reserve(ids.size());
  for (const std::string& id : ids) sizes.push_back(static_cast<int64_t>(id.size()));
  std::nth_element(sizes.begin(), sizes.begin() + documents, sizes.end(), std::greater<>());
  int64_t bytes = kMostOtherBytes + documents * kMostDocumentBytes;
  for (int64_t i = 0; i < documents; ++i) bytes += sizes[i];
  // Spans of a document do not overlap, and each has four bytes of text or more.
  std::vector<int64_t> spans;
  for (const EncodeInput& document : request.documents) {
    const auto cells = static_cast<int64_t>(document.text.size()) / request.settings.cell_tokens;
    spans.push_back(std::min<int64_t>(static_cast<int64_t>(ranking.max_passages), 1 + cells));
  }
  std::nth_element(spans.begin(), spans.begin() + documents, spans.end(), std::greater<>());
  for (int64_t i = 0; i < documents; ++i) bytes += spans[i] * span_bytes;
  return bytes;
}

}  // namespace longspan
