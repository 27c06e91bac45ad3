// Texts to keep, as search makes them, out of random numbers: their tokens wander about a topic, as
// neighbours in a text do.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/search/cells.h"
#include "core/search/kept_text.h"

namespace longspan {

struct SampleText {
  TokenMatrix rows{1};
  std::vector<float> values;  // [rows, width]
  std::vector<KeptRun> runs;
  std::vector<int32_t> ids;
  std::vector<TokenPlace> places;
  std::vector<KeptWord> words;
  std::vector<KeptRange> used_text;

  KeptParts Parts(TokenFormat format, int64_t cell_tokens) const {
    return {.format = format,
            .cell_tokens = cell_tokens,
            .rows = &rows,
            .runs = runs,
            .ids = ids,
            .places = places,
            .words = words,
            .used_text = used_text,
            .tokens_total = static_cast<int64_t>(ids.size()) + 2,
            .tokens_used = static_cast<int64_t>(ids.size()) + 2};
  }
};

// `run_rows`: tokens of each run. Between two runs 100 tokens of the text are left out.
inline SampleText MakeSampleText(const std::vector<int64_t>& run_rows, int64_t width,
                                 int64_t cell_tokens, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int32_t> id(0, 40), word(0, 30), length(1, 9), gap(0, 2);
  SampleText text;
  text.rows = TokenMatrix(width);
  int64_t row = 0, token = 1, cell = 0;
  uint32_t byte = 0, character = 0;
  std::vector<float> topic(width);
  for (const int64_t rows : run_rows) {
    text.runs.push_back({row, row + rows, token});
    for (float& value : topic) value = normal(random);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < width; ++j) {
        topic[j] = 0.95f * topic[j] + 0.3f * normal(random);
        text.values.push_back(topic[j] + 0.7f * normal(random));
      }
      text.ids.push_back(id(random));
      const auto bytes = static_cast<uint32_t>(length(random));
      byte += static_cast<uint32_t>(gap(random));
      character += static_cast<uint32_t>(gap(random));
      text.places.push_back({byte, byte + bytes, character, character + (bytes + 1) / 2});
      byte += bytes;
      character += (bytes + 1) / 2;
      if (i % 2 == 0) {
        text.words.push_back({.stem = 0x9e3779b97f4a7c15ull * static_cast<uint64_t>(word(random)),
                              .cell = static_cast<uint32_t>(cell + i / cell_tokens)});
      }
    }
    text.used_text.push_back({0, byte});
    row += rows;
    cell += NumCells(rows, cell_tokens);
    token += rows + 100;
    byte += 500;
    character += 400;
  }
  text.rows.Append(text.values.data(), row);
  return text;
}

}  // namespace longspan
