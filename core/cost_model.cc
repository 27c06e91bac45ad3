// Counts the work of a text from the shapes of the layers, and fits the three prices of it.
//
// Example: Longformer-base (E 768, I 3072, 12 layers, window 256 on each side), 4,096 tokens
//   linear      4096 · 12 · 2 · (4·768^2 + 2·768·3072)    = 696 GFLOP
//   attention   12 · 4·768 · (513·4096 - 256·257)         =  75 GFLOP
//
// Calibration is least squares with prices that are not negative. It runs on relative errors, so
// that a batch of 10 ms counts as much as one of 10 s. A weak pull towards the usual proportion of
// the prices makes even two samples give something sane. With three unknowns, non-negative least
// squares is solved by trying each set of prices that may differ from zero (Lawson & Hanson 1974,
// ch. 23, by exhaustion). Proven by cost_model_test.
#include "core/cost_model.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/layers/linear.h"
#include "core/models/packed_pass.h"

namespace longspan {
namespace {

double PaddedLength(const ModelInfo& info, int64_t num_tokens) {
  const int64_t multiple = std::max<int64_t>(1, info.length_multiple);
  const int64_t padded = (num_tokens + multiple - 1) / multiple * multiple;
  return static_cast<double>(padded);
}

// The number of (query, key) pairs that one head scores for a text of num_tokens tokens; `n` is its
// padded length.
double Pairs(const LayerAttention& layer, const ModelInfo& info, int64_t num_tokens, double n) {
  const double all = n * n;
  const double span =
      static_cast<double>(layer.chunk_length * (layer.chunks_before + layer.chunks_after + 1));
  switch (layer.kind) {
    case AttentionKind::kDense:
      return all;
    case AttentionKind::kSlidingWindow: {
      if (num_tokens <= info.dense_up_to) return all;
      const double w = std::min(static_cast<double>(layer.window), n - 1);
      const double global_columns = info.default_global_attention == GlobalAttention::kNone ? 0 : 1;
      // A window is cut at both ends of the text: together these windows miss w * (w + 1) keys.
      return std::min(all, n * (2 * w + 1) - w * (w + 1) + global_columns * n);
    }
    case AttentionKind::kBlockSparse: {
      if (num_tokens <= info.dense_up_to) return all;
      // A middle block sees five blocks: itself, its two neighbours, the first and the last. The
      // first and the last block see all blocks, which adds two for each block.
      return std::min(all, n * static_cast<double>(layer.chunk_length) * (5 + 2));
    }
    case AttentionKind::kLsh:
      return n <= static_cast<double>(layer.chunk_length) ? all
                                                          : n * span * std::max(1, info.num_hashes);
    case AttentionKind::kLocalChunk:
      return n <= static_cast<double>(layer.chunk_length) ? all : n * span;
  }
  return all;
}

// The FLOP of one global row with projections of its own. The products are reassociated: every head
// scores and sums the hidden rows, which are E wide, and not their projections, which are D wide.
double GlobalRowFlop(const ModelInfo& info, int64_t num_tokens, double n) {
  const bool has_global =
      info.default_global_attention != GlobalAttention::kNone && num_tokens > info.dense_up_to;
  return has_global ? 4.0 * static_cast<double>(info.num_heads * info.hidden_size) * n : 0;
}

constexpr int kPrices = 3;  // of a batch, of a linear FLOP, of an attention FLOP
using Row = std::array<double, kPrices>;

// Solves the symmetric positive definite system of the chosen unknowns by Gaussian elimination; the
// other unknowns become 0. False where the system is singular.
bool SolveSubset(const std::array<Row, kPrices>& normal, const Row& right, unsigned chosen,
                 Row& solution) {
  std::array<std::array<double, kPrices + 1>, kPrices> m{};
  for (int i = 0; i < kPrices; ++i) {
    const bool in = chosen >> i & 1;
    for (int j = 0; j < kPrices; ++j)
      m[i][j] = in && (chosen >> j & 1) ? normal[i][j] : static_cast<double>(i == j);
    m[i][kPrices] = in ? right[i] : 0;
  }
  for (int i = 0; i < kPrices; ++i) {
    if (m[i][i] < 1e-12) return false;
    for (int k = i + 1; k < kPrices; ++k) {
      const double factor = m[k][i] / m[i][i];
      for (int j = i; j <= kPrices; ++j) m[k][j] -= factor * m[i][j];
    }
  }
  for (int i = kPrices - 1; i >= 0; --i) {
    solution[i] = m[i][kPrices];
    for (int j = i + 1; j < kPrices; ++j) solution[i] -= m[i][j] * solution[j];
    solution[i] /= m[i][i];
  }
  return true;
}

// The x >= 0 with the smallest sum over rows of (row·x - target)^2.
Row NonNegativeLeastSquares(std::span<const Row> rows, std::span<const double> targets) {
  std::array<Row, kPrices> normal{};
  Row right{}, best{};
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int i = 0; i < kPrices; ++i) {
      right[i] += rows[r][i] * targets[r];
      for (int j = 0; j < kPrices; ++j) normal[i][j] += rows[r][i] * rows[r][j];
    }
  }
  double lowest = INFINITY;
  for (unsigned chosen = 0; chosen < 1u << kPrices; ++chosen) {
    Row x{};
    if (!SolveSubset(normal, right, chosen, x) || *std::min_element(x.begin(), x.end()) < 0)
      continue;
    double error = 0;
    for (size_t r = 0; r < rows.size(); ++r) {
      const double miss = rows[r][0] * x[0] + rows[r][1] * x[1] + rows[r][2] * x[2] - targets[r];
      error += miss * miss;
    }
    if (error < lowest) lowest = error, best = x;
  }
  return best;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

CostModel::CostModel(const ModelInfo& info) : info_(info) {}

double CostModel::LinearFlop(int64_t num_tokens) const {
  const double n = PaddedLength(info_, num_tokens);
  const double width = static_cast<double>(info_.hidden_size);
  const double heads_width = static_cast<double>(info_.num_heads * info_.head_size);
  const double wide = static_cast<double>(info_.intermediate_size);
  // A gated feed-forward has three matrices (up, gate, down).
  const double feed_forward_matrices = info_.architecture == "modernbert" ? 3 : 2;
  double multiply_adds = 0;
  for (const LayerAttention& layer : info_.layers) {
    // LSH attention's queries and keys share one matrix.
    const double attention_matrices = layer.kind == AttentionKind::kLsh ? 3 : 4;
    multiply_adds += n * width * (attention_matrices * heads_width + feed_forward_matrices * wide);
  }
  return 2 * multiply_adds;
}

double CostModel::AttentionFlop(int64_t num_tokens) const {
  const double n = PaddedLength(info_, num_tokens);
  double flop = 0;
  for (const LayerAttention& layer : info_.layers) {
    flop += 4.0 * static_cast<double>(info_.num_heads * info_.head_size) *
            Pairs(layer, info_, num_tokens, n);
    if (layer.kind == AttentionKind::kSlidingWindow) flop += GlobalRowFlop(info_, num_tokens, n);
  }
  return flop;
}

double CostModel::TextSeconds(int64_t num_tokens) const {
  return seconds_per_linear_flop_ * LinearFlop(num_tokens) +
         seconds_per_attention_flop_ * AttentionFlop(num_tokens);
}

double CostModel::BatchSeconds(std::span<const int64_t> lengths) const {
  double seconds = fixed_seconds_;
  for (int64_t length : lengths) seconds += TextSeconds(length);
  return seconds;
}

// What lives at once at the widest point of a layer: the layer's input, the packed q, k and v, the
// attention's output, the projected output, and the wide rows of the feed-forward that are under
// way between two pauses. A Reformer keeps two residual streams and sorts in each hash round.
int64_t CostModel::BatchBytes(std::span<const int64_t> lengths, int32_t num_hashes) const {
  double tokens = 0;
  for (int64_t length : lengths) tokens += PaddedLength(info_, length);
  const auto element = static_cast<double>(c10::elementSize(RowType(info_.dtype)));
  const double width = static_cast<double>(info_.hidden_size);
  const double heads_width = static_cast<double>(info_.num_heads * info_.head_size);
  double per_token = element * (3 * width + 4 * heads_width);
  const bool has_lsh =
      std::any_of(info_.layers.begin(), info_.layers.end(),
                  [](const LayerAttention& layer) { return layer.kind == AttentionKind::kLsh; });
  if (has_lsh) {
    // For each round and head: an output row, and 20 bytes for its log-sum-exp, the bucket and the
    // sorted position.
    per_token +=
        element * width + std::max(1, num_hashes > 0 ? num_hashes : info_.num_hashes) *
                              (element * heads_width + static_cast<double>(info_.num_heads) * 20);
  }
  const double block = std::min(tokens, static_cast<double>(PackedPass::kRowsPerPause)) * 4 *
                       (2 * static_cast<double>(info_.intermediate_size) + width);
  return static_cast<int64_t>(tokens * per_token + block);
}

void CostModel::Calibrate(std::span<const Sample> samples) {
  // The weight of the pull: a thousandth of a sample's, so that it decides only what the samples
  // leave open.
  constexpr double kPull = 1e-3;
  const Row prior = {fixed_seconds_, seconds_per_linear_flop_, seconds_per_attention_flop_};
  // One row for each sample, in units of the prior prices and divided by the measured seconds, so
  // that the target of each row is 1.
  std::vector<Row> rows;
  std::vector<double> speed;
  for (const Sample& sample : samples) {
    if (!(sample.seconds > 0) || sample.lengths.empty()) continue;
    Row row = {prior[0], 0, 0};
    for (int64_t length : sample.lengths) {
      row[1] += prior[1] * LinearFlop(length);
      row[2] += prior[2] * AttentionFlop(length);
    }
    for (double& value : row) value /= sample.seconds;
    speed.push_back(1 / (row[0] + row[1] + row[2]));
    rows.push_back(row);
  }
  if (rows.empty()) return;
  std::vector<double> targets(rows.size(), 1.0);
  const double usual = Median(speed);  // how many times slower this machine is than the prior says
  for (int i = 0; i < kPrices; ++i) {
    Row pull{};
    pull[i] = kPull / usual;
    rows.push_back(pull);
    targets.push_back(kPull);
  }
  const Row x = NonNegativeLeastSquares(rows, targets);
  fixed_seconds_ = x[0] * prior[0];
  seconds_per_linear_flop_ = x[1] * prior[1];
  seconds_per_attention_flop_ = x[2] * prior[2];
}

}  // namespace longspan
