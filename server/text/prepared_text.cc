#include "server/text/prepared_text.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace longspan {
namespace {

std::vector<float>& VectorOf(std::vector<EncodedText>& encoded, const VectorPart& part) {
  EncodedText& text = encoded[part.piece];
  return part.span < 0 ? text.vector : text.span_vectors[part.span];
}

// Sums in double, so that the mean of a book's thousand windows loses no digit of its float32.
std::vector<float> WeightedMean(const std::vector<VectorPart>& parts,
                                std::vector<EncodedText>& encoded) {
  std::vector<double> sum(VectorOf(encoded, parts.front()).size(), 0.0);
  double total = 0;
  for (const VectorPart& part : parts) {
    const std::vector<float>& vector = VectorOf(encoded, part);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part.weight * vector[i];
    total += part.weight;
  }
  std::vector<float> mean(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) mean[i] = static_cast<float>(sum[i] / total);
  return mean;
}

void Normalize(std::vector<float>& vector) {
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * value;
  // The floor is that of torch's normalize: a zero vector stays zero.
  const double scale = 1.0 / std::max(std::sqrt(squares), 1e-12);
  for (float& value : vector) value = static_cast<float>(value * scale);
}

// A single part is moved out of `encoded`: no two of the joined vectors share one.
std::vector<float> Join(const std::vector<VectorPart>& parts, bool normalize,
                        std::vector<EncodedText>& encoded) {
  if (parts.empty()) return {};
  std::vector<float> joined = parts.size() == 1 ? std::move(VectorOf(encoded, parts.front()))
                                                : WeightedMean(parts, encoded);
  if (normalize) Normalize(joined);
  return joined;
}

}  // namespace

TextShape ShapeOf(const TextPiece& piece, const LshOptions& lsh) {
  TextShape shape(
      static_cast<int64_t>(piece.token_ids.size()),
      static_cast<int64_t>(piece.global_positions.size()),
      static_cast<int64_t>(piece.options.spans.size()) + (piece.options.document_vector ? 1 : 0));
  shape.hashes = lsh.num_hashes;
  return shape;
}

int64_t PreparedText::num_piece_tokens() const {
  int64_t total = 0;
  for (const TextPiece& piece : pieces) total += static_cast<int64_t>(piece.token_ids.size());
  return total;
}

int64_t PreparedText::num_lexical_values() const {
  int64_t total = lexical == nullptr ? 0 : lexical->size();
  for (const PreparedSpan& span : spans)
    total += span.lexical == nullptr ? 0 : span.lexical->size();
  return total;
}

EncodedDocument JoinPieces(const PreparedText& prepared, std::vector<EncodedText> encoded) {
  EncodedDocument document;
  document.vector = Join(prepared.document, prepared.normalize_joined, encoded);
  document.spans.reserve(prepared.spans.size());
  for (const PreparedSpan& span : prepared.spans) {
    document.spans.push_back({span.bytes, span.characters, span.tokens,
                              Join(span.parts, prepared.normalize_joined, encoded), span.lexical});
  }
  document.tokens_total = prepared.tokens_total;
  document.tokens_used = prepared.tokens_used;
  document.truncated = prepared.tokens_used < prepared.tokens_total;
  document.used_text = prepared.used_text;
  document.lexical = prepared.lexical;
  return document;
}

}  // namespace longspan
