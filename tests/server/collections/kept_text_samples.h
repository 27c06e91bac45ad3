// Packed texts for the tests of collections: a few random rows of width 8, told apart by their
// number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "core/search/kept_text.h"
#include "core/search/token_matrix.h"

namespace longspan {

inline constexpr int64_t kSampleWidth = 8;
inline constexpr int64_t kSampleCellTokens = 4;

// The number is in tokens_total, a token id, a word and the seed of the vectors.
inline std::vector<std::byte> PackedSample(int64_t number, int64_t rows = 6,
                                           TokenFormat format = TokenFormat::kInt8) {
  std::mt19937 random(static_cast<uint32_t>(number));
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * kSampleWidth);
  for (float& value : values) value = normal(random);
  TokenMatrix matrix(kSampleWidth);
  matrix.Append(values.data(), rows);
  std::vector<int32_t> ids;
  std::vector<TokenPlace> places;
  std::vector<KeptWord> words;
  for (int64_t row = 0; row < rows; ++row) {
    ids.push_back(static_cast<int32_t>(row == 0 ? 1000 + number : row % 7));
    const auto at = static_cast<uint32_t>(5 * row);
    places.push_back({at, at + 4, at, at + 4});
    words.push_back(
        {row == 0 ? 1000 + static_cast<uint64_t>(number) : static_cast<uint64_t>(row % 5),
         static_cast<uint32_t>(row / kSampleCellTokens)});
  }
  const std::vector<KeptRun> runs = {{.first_row = 0, .end_row = rows, .first_token = 1}};
  const std::vector<KeptRange> used = {{0, 5 * rows}};
  return PackText({.format = format,
                   .cell_tokens = kSampleCellTokens,
                   .rows = &matrix,
                   .runs = runs,
                   .ids = ids,
                   .places = places,
                   .words = words,
                   .used_text = used,
                   .tokens_total = number + rows,
                   .tokens_used = rows});
}

inline int64_t NumberOf(const KeptText& text) { return text.tokens_total() - text.num_rows(); }

// Whether all that a view shows is what was packed for this number.
inline bool IsSample(const KeptText& text, int64_t number) {
  const std::vector<std::byte> bytes = PackedSample(number, text.num_rows(), text.format());
  const auto sample = KeptText::Parse(bytes, kSampleWidth);
  const auto same = [](const auto& a, const auto& b) {
    return std::ranges::equal(std::as_bytes(std::span(a)), std::as_bytes(std::span(b)));
  };
  if (!sample.ok() || text.num_bytes() != bytes.size() || NumberOf(text) != number) return false;
  const int64_t rows = text.num_rows();
  std::vector<uint8_t> scratch, other_scratch;
  const TokenMatrixView decoded = text.Rows(0, rows, &scratch);
  const TokenMatrixView other = sample->Rows(0, rows, &other_scratch);
  return same(text.words(), sample->words()) && same(text.hits(), sample->hits()) &&
         same(text.ids(), sample->ids()) && text.Places(0, rows) == sample->Places(0, rows) &&
         same(std::span(decoded.rows, rows * decoded.stride),
              std::span(other.rows, rows * other.stride)) &&
         same(std::span(decoded.scales, rows), std::span(other.scales, rows));
}

}  // namespace longspan
