#include "core/search/late_interaction.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longspan {
namespace {

// Rows of unit length, as those of the text are.
std::vector<float> UnitRows(const float* rows, int64_t tokens, int64_t width) {
  std::vector<float> unit(rows, rows + tokens * width);
  for (int64_t token = 0; token < tokens; ++token) {
    double squares = 0.0;
    float* row = unit.data() + token * width;
    for (int64_t i = 0; i < width; ++i) squares += static_cast<double>(row[i]) * row[i];
    if (squares == 0.0) continue;
    const auto inverse = static_cast<float>(1.0 / std::sqrt(squares));
    for (int64_t i = 0; i < width; ++i) row[i] *= inverse;
  }
  return unit;
}

}  // namespace

LateQuestion::LateQuestion(const float* rows, int64_t tokens, int64_t width)
    : packed_(kernels::PackQuestion(UnitRows(rows, tokens, width).data(), tokens, width)) {}

void LargestCosines(const LateQuestion& question, const TokenMatrixView& rows, int64_t num_rows,
                    int64_t unit_rows, float* best) {
  kernels::MaxSim({.question = &question.packed(),
                   .rows = rows.rows,
                   .row_stride = rows.stride,
                   .scales = rows.scales,
                   .num_rows = num_rows,
                   .unit_rows = unit_rows,
                   .best = best});
}

std::vector<float> CellCosines(const LateQuestion& question, const TokenMatrix& text, int64_t begin,
                               int64_t end, int64_t cell_tokens) {
  const int64_t cells = NumCells(end - begin, cell_tokens);
  std::vector<float> best(cells * question.tokens());
  LargestCosines(question, text.from(begin), end - begin, cell_tokens, best.data());
  return best;
}

std::vector<Passage> ScorePassages(std::span<const float> cells, std::span<const float> weights,
                                   int64_t begin, int64_t end, int64_t cell_tokens) {
  std::vector<Passage> passages;
  if (begin == end) return passages;
  const auto tokens = static_cast<int64_t>(weights.size());
  const int64_t num_cells = static_cast<int64_t>(cells.size()) / tokens;
  const int64_t count = NumPassages(num_cells);
  passages.reserve(count);
  for (int64_t first = 0; first < count; ++first) {
    const int64_t last = std::min(first + kCellsOfAPassage, num_cells);
    float score = 0.0f;
    for (int64_t token = 0; token < tokens; ++token) {
      float best = cells[first * tokens + token];
      for (int64_t cell = first + 1; cell < last; ++cell)
        best = std::max(best, cells[cell * tokens + token]);
      score += weights[token] * best;
    }
    passages.push_back({.begin = begin + first * cell_tokens,
                        .end = std::min(begin + last * cell_tokens, end),
                        .score = score});
  }
  return passages;
}

std::vector<BestToken> BestTokens(const LateQuestion& question, std::span<const float> weights,
                                  const TokenMatrix& text, int64_t begin, int64_t end) {
  std::vector<BestToken> best = BestTokens(question, weights, text.from(begin), end - begin);
  for (BestToken& one : best) one.row += begin;
  return best;
}

std::vector<BestToken> BestTokens(const LateQuestion& question, std::span<const float> weights,
                                  const TokenMatrixView& rows, int64_t num_rows) {
  constexpr int64_t kRowsAtOnce = 64;
  std::vector<BestToken> best;
  for (size_t token = 0; token < weights.size(); ++token) {
    if (weights[token] <= 0.0f) continue;
    best.push_back({.token = static_cast<int64_t>(token),
                    .similarity = -std::numeric_limits<float>::infinity(),
                    .weight = weights[token]});
  }
  const int64_t tokens = question.tokens();
  std::vector<float> cosines(std::min(num_rows, kRowsAtOnce) * tokens);
  for (int64_t first = 0; first < num_rows; first += kRowsAtOnce) {
    const int64_t last = std::min(first + kRowsAtOnce, num_rows);
    const TokenMatrixView some = {rows.rows + first * rows.stride, rows.scales + first,
                                  rows.stride};
    LargestCosines(question, some, last - first, /*unit_rows=*/1, cosines.data());
    for (int64_t row = first; row < last; ++row) {
      const float* of_row = cosines.data() + (row - first) * tokens;
      for (BestToken& one : best) {
        if (of_row[one.token] <= one.similarity) continue;
        one.similarity = of_row[one.token];
        one.row = row;
      }
    }
  }
  return best;
}

}  // namespace longspan
