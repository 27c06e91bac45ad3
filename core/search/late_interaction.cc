#include "core/search/late_interaction.h"

#include <algorithm>
#include <cmath>

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

std::vector<float> UnitCosines(const LateQuestion& question, const TokenMatrix& text, int64_t begin,
                               int64_t end, int64_t unit_rows) {
  const int64_t units = (end - begin + unit_rows - 1) / unit_rows;
  std::vector<float> best(units * question.tokens());
  kernels::MaxSim({.question = &question.packed(),
                   .rows = text.rows() + begin * text.row_stride(),
                   .row_stride = text.row_stride(),
                   .scales = text.scales() + begin,
                   .num_rows = end - begin,
                   .unit_rows = unit_rows,
                   .best = best.data()});
  return best;
}

}  // namespace

LateQuestion::LateQuestion(const float* rows, int64_t tokens, int64_t width,
                           std::span<const float> weights)
    : packed_(kernels::PackQuestion(UnitRows(rows, tokens, width).data(), tokens, width)),
      weights_(weights.begin(), weights.end()) {
  if (weights_.empty()) weights_.assign(tokens, 1.0f);
  double sum = 0.0;
  for (const float weight : weights_) sum += weight;
  for (float& weight : weights_) weight = static_cast<float>(weight / sum);
}

std::vector<Passage> ScorePassages(const LateQuestion& question, const TokenMatrix& text,
                                   int64_t begin, int64_t end, const PassageOptions& options) {
  std::vector<Passage> passages;
  const int64_t tokens = question.tokens();
  if (begin == end) return passages;
  const std::vector<float> units = UnitCosines(question, text, begin, end, options.stride_tokens);
  const int64_t num_units = static_cast<int64_t>(units.size()) / tokens;
  const int64_t units_of_passage = options.passage_tokens / options.stride_tokens;
  std::vector<float> best(tokens);
  for (int64_t first = 0;; ++first) {
    const int64_t last = std::min(first + units_of_passage, num_units);
    std::copy_n(units.begin() + first * tokens, tokens, best.begin());
    for (int64_t unit = first + 1; unit < last; ++unit)
      for (int64_t token = 0; token < tokens; ++token)
        best[token] = std::max(best[token], units[unit * tokens + token]);
    float score = 0.0f;
    for (int64_t token = 0; token < tokens; ++token)
      score += question.weights()[token] * best[token];
    passages.push_back({.begin = begin + first * options.stride_tokens,
                        .end = std::min(begin + last * options.stride_tokens, end),
                        .score = score});
    if (last == num_units) break;
  }
  return passages;
}

std::vector<float> BestCosines(const LateQuestion& question, const TokenMatrix& text, int64_t begin,
                               int64_t end) {
  return UnitCosines(question, text, begin, end, end - begin);
}

}  // namespace longspan
