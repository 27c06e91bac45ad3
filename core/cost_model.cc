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

#include "core/backend/portable_softmax.h"
#include "core/layers/linear.h"
#include "core/models/packed_pass.h"

namespace longspan {
namespace {

double PaddedLength(const ModelInfo& info, int64_t num_tokens) {
  const int64_t multiple = std::max<int64_t>(1, info.length_multiple);
  const int64_t padded = (num_tokens + multiple - 1) / multiple * multiple;
  return static_cast<double>(padded);
}

// The global tokens of a text.
double Globals(const TextShape& text, const ModelInfo& info) {
  if (text.globals >= 0) return static_cast<double>(std::min(text.globals, text.tokens));
  const bool first =
      info.default_global_attention != GlobalAttention::kNone && text.tokens > info.dense_up_to;
  return first ? 1 : 0;
}

int64_t Hashes(const TextShape& text, const ModelInfo& info) {
  return std::max<int64_t>(1, text.hashes > 0 ? text.hashes : info.num_hashes);
}

// The number of (query, key) pairs that one head scores for a text; `n` is its padded length.
double Pairs(const LayerAttention& layer, const ModelInfo& info, const TextShape& text, double n) {
  const double all = n * n;
  const double span =
      static_cast<double>(layer.chunk_length * (layer.chunks_before + layer.chunks_after + 1));
  switch (layer.kind) {
    case AttentionKind::kDense:
      return all;
    case AttentionKind::kSlidingWindow: {
      if (text.tokens <= info.dense_up_to) return all;
      const double w = std::min(static_cast<double>(layer.window), n - 1);
      // A window is cut at both ends of the text: together these windows miss w * (w + 1) keys.
      return std::min(all, n * (2 * w + 1) - w * (w + 1) + Globals(text, info) * n);
    }
    case AttentionKind::kBlockSparse: {
      if (text.tokens <= info.dense_up_to) return all;
      // A middle block sees five blocks: itself, its two neighbours, the first and the last. The
      // first and the last block see all blocks, which adds two for each block.
      return std::min(all, n * static_cast<double>(layer.chunk_length) * (5 + 2));
    }
    case AttentionKind::kLsh:
      return n <= static_cast<double>(layer.chunk_length)
                 ? all
                 : n * span * static_cast<double>(Hashes(text, info));
    case AttentionKind::kLocalChunk:
      return n <= static_cast<double>(layer.chunk_length) ? all : n * span;
  }
  return all;
}

// The FLOP of the global rows of one layer, which have projections of their own, in the cheaper of
// two forms. Reassociated, every head of every global scores and sums the hidden rows, which are E
// wide, and not their projections, which are E / heads wide; direct, all tokens are projected.
double GlobalRowFlop(const ModelInfo& info, const TextShape& text, double n) {
  const double globals = Globals(text, info);
  const double heads = static_cast<double>(info.num_heads);
  const double width = static_cast<double>(info.hidden_size);
  return 4 * width * n * std::min(globals * heads, globals == 0 ? 0 : width + globals);
}

// For each round, head and token: its log-sum-exp, the bucket and the sorted position.
constexpr double kSlotBytes = 20;
// The same on a backend, where sorting holds 64-bit buckets and positions twice.
constexpr double kSlotBytesOnBackend = 40;

// What a token of a Reformer takes beside the rows of any layer, where they have values of so many
// bytes: the second residual stream, and for each round and head an output row and the bytes of a
// slot. 0 of other models.
double LshBytes(const ModelInfo& info, const TextShape& text, double element, double slot_bytes) {
  const bool has_lsh =
      std::any_of(info.layers.begin(), info.layers.end(),
                  [](const LayerAttention& layer) { return layer.kind == AttentionKind::kLsh; });
  if (!has_lsh) return 0;
  const double heads = static_cast<double>(info.num_heads);
  return element * static_cast<double>(info.hidden_size) +
         static_cast<double>(Hashes(text, info)) *
             (element * heads * static_cast<double>(info.head_size) + heads * slot_bytes);
}

constexpr double kFloat = 4;  // bytes

// What PortableBackend holds at once for a block of a text's rows: three copies of its scores, and
// for BigBird five of the rows that are gathered. `n`: its padded length.
double BlockBytes(const LayerAttention& layer, const ModelInfo& info, const TextShape& text,
                  double n) {
  const double heads = static_cast<double>(info.num_heads);
  const double most = static_cast<double>(kMostScores);
  double rows = n, keys = n, gathered = 0;
  if (layer.kind == AttentionKind::kSlidingWindow && text.tokens > info.dense_up_to) {
    // PortableBackend::Band.
    const double windows = 2 * static_cast<double>(layer.window);
    rows = std::min(n, std::clamp(windows, 256.0, 2048.0));
    keys = std::min(n, rows + windows);
    if (n * Globals(text, info) > rows * keys) rows = n, keys = Globals(text, info);
  } else if (layer.kind == AttentionKind::kBlockSparse && text.tokens > info.dense_up_to) {
    const double block = static_cast<double>(layer.chunk_length);
    keys = 5 * block;
    gathered = 5 * std::min(n, std::max(block, most / (heads * keys)));
  }
  const double scores = std::max(std::min(most, heads * rows * keys), heads * n);
  return kFloat * (3 * scores + 5 * gathered * heads * static_cast<double>(info.head_size));
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

CostModel::CostModel(const ModelInfo& info, bool on_backend)
    : info_(info),
      on_backend_(on_backend),
      seconds_per_vector_(5e-9 * static_cast<double>(info.token_dimensions) *
                          static_cast<double>(info.pooling.size())) {}

double CostModel::LinearFlop(const TextShape& text) const {
  const double n = PaddedLength(info_, text.tokens);
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

double CostModel::AttentionFlop(const TextShape& text) const {
  const double n = PaddedLength(info_, text.tokens);
  double flop = 0;
  for (const LayerAttention& layer : info_.layers) {
    flop +=
        4.0 * static_cast<double>(info_.num_heads * info_.head_size) * Pairs(layer, info_, text, n);
    if (layer.kind == AttentionKind::kSlidingWindow) flop += GlobalRowFlop(info_, text, n);
  }
  return flop;
}

double CostModel::PoolingSeconds(const TextShape& text) const {
  return seconds_per_vector_ * static_cast<double>(std::max<int64_t>(0, text.vectors - 1));
}

double CostModel::TextSeconds(const TextShape& text) const {
  return seconds_per_linear_flop_ * LinearFlop(text) +
         seconds_per_attention_flop_ * AttentionFlop(text) + PoolingSeconds(text);
}

double CostModel::BatchSeconds(std::span<const TextShape> texts) const {
  double seconds = fixed_seconds_;
  for (const TextShape& text : texts) seconds += TextSeconds(text);
  return seconds;
}

// What lives at once at the widest point of a layer: the layer's input, the packed q, k and v, the
// attention's output, the projected output, and the wide rows of the feed-forward that are under
// way between two pauses.
int64_t CostModel::BatchBytes(std::span<const TextShape> texts) const {
  if (on_backend_) return BytesOnBackend(texts);
  const auto element = static_cast<double>(c10::elementSize(RowType(info_.dtype)));
  const double width = static_cast<double>(info_.hidden_size);
  const double heads = static_cast<double>(info_.num_heads);
  const double heads_width = heads * static_cast<double>(info_.head_size);
  double tokens = 0;
  double bytes = 0;
  double global_rows = 0;  // of the text whose global rows take most; one text has them at a time
  for (const TextShape& text : texts) {
    const double n = PaddedLength(info_, text.tokens);
    tokens += n;
    bytes +=
        n * (element * (3 * width + 4 * heads_width) + LshBytes(info_, text, element, kSlotBytes));
    // The direct form holds the hidden rows, keys and values of all tokens in float32.
    const double globals = Globals(text, info_);
    const bool direct = info_.supports_global_attention && globals * heads >= width + globals;
    global_rows = std::max(global_rows, direct ? n * 3 * 4 * width : 0);
  }
  const double block = std::min(tokens, static_cast<double>(PackedPass::kRowsPerPauseOfTeam)) * 4 *
                       (2 * static_cast<double>(info_.intermediate_size) + width);
  return static_cast<int64_t>(bytes + block + global_rows);
}

// The widest of some places in a layer, of E values or H heads of D for each token:
//   attention     the layer's input, q, k, v and the output in the storage type; in float32 the
//                 values of two parts, the three terms of their merge, and copies of q, k and v
//   feed-forward  the input, the attention's output, its norm, the wide rows and the rows behind
//                 them in the storage type; in float32 the sum and the norm of it
//   rotation      the input, q, k and v; in float32 copies, products and sums of q and k, of up to
//                 65,536 rows at once
// Beside them are three copies of a block of scores, and what is gathered for BigBird's blocks.
int64_t CostModel::BytesOnBackend(std::span<const TextShape> texts) const {
  const double element = info_.dtype == DataType::kFloat32 ? 4 : 2;
  const double width = static_cast<double>(info_.hidden_size);
  const double heads = static_cast<double>(info_.num_heads);
  const double heads_width = heads * static_cast<double>(info_.head_size);
  const bool is_modernbert = info_.architecture == "modernbert";
  const double wide = static_cast<double>(info_.intermediate_size) *
                      (is_modernbert ? 3 : 1);  // up, gate and their product
  const double attention =
      element * (width + 4 * heads_width) + kFloat * (7 * heads_width + 10 * heads);
  const double feed_forward = element * (4 * width + heads_width + wide) + kFloat * 4 * width;
  double tokens = 0, lsh = 0, blocks = 0;
  for (const TextShape& text : texts) {
    const double n = PaddedLength(info_, text.tokens);
    tokens += n;
    lsh += n * LshBytes(info_, text, element, kSlotBytesOnBackend);
    for (const LayerAttention& layer : info_.layers)
      blocks = std::max(blocks, BlockBytes(layer, info_, text, n));
  }
  double bytes = tokens * std::max(attention, feed_forward);
  if (is_modernbert) {
    const double rotated = std::min(tokens, 65536.0) * kFloat * 11 * heads_width;
    bytes = std::max(bytes, tokens * element * (width + 3 * heads_width) + rotated);
  }
  return static_cast<int64_t>(bytes + lsh + blocks);
}

void CostModel::CalibratePooling(double seconds_per_vector) {
  if (seconds_per_vector > 0 && std::isfinite(seconds_per_vector))
    seconds_per_vector_ = seconds_per_vector;
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
    if (!(sample.seconds > 0) || sample.texts.empty()) continue;
    Row row = {prior[0], 0, 0};
    for (const TextShape& text : sample.texts) {
      row[1] += prior[1] * LinearFlop(text);
      row[2] += prior[2] * AttentionFlop(text);
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
