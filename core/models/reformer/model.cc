#include "core/models/reformer/model.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "core/models/load_model.h"
#include "core/models/reformer/config.h"
#include "core/models/reformer/device_pass.h"
#include "core/models/reformer/embeddings.h"
#include "core/models/reformer/hashing.h"
#include "core/models/reformer/layer.h"
#include "core/models/reformer/padded_batch.h"
#include "core/models/take_layers.h"
#include "core/weights/weight_map.h"

namespace longspan {
namespace {

// Most rows of a block. So many stay in one core's cache from the LayerNorm to the addition, and
// they are enough for matrix products at full speed.
constexpr int64_t kMaxRowsABlock = 256;
// Most queries of a window of local layers. With one chunk of 64 beside them, a sixteenth of the
// rows is projected twice.
constexpr int64_t kMaxWindowQueries = 1024;

// Rows of a block: at most `most`, and fewer where the compute team shares few rows. They are
// multiples of 64, so that sizes of blocks repeat.
int64_t BlockRows(int64_t num_rows, int64_t most) {
  const int64_t share = (num_rows + at::get_num_threads() - 1) / at::get_num_threads();
  return std::clamp<int64_t>((share + 63) / 64 * 64, 64, most);
}

// The buffers that old checkpoints hold and the heads of task models are not read.
WeightMap::Rules WeightRules() {
  return {.prefixes = {"reformer."},
          .ignored = {"*.self_attention.self_mask_value_float16",
                      "*.self_attention.self_mask_value_float32",
                      "*.self_attention.mask_value_float16", "*.self_attention.mask_value_float32",
                      "lm_head.*", "classifier.*", "qa_outputs.*"},
          .layers = "encoder.layers."};
}

ModelInfo MakeInfo(const ReformerConfig& config, const Placement& placement) {
  ModelInfo info;
  info.architecture = "reformer";
  info.dtype = placement.dtype;
  info.hidden_size = config.hidden_size;
  info.token_dimensions = 2 * config.hidden_size;
  info.output_dimensions = info.token_dimensions;
  info.num_heads = config.num_heads;
  info.head_size = config.head_size;
  info.intermediate_size = config.intermediate_size;
  info.vocab_size = config.vocab_size;
  info.max_tokens = config.max_tokens();
  info.pad_token_id = static_cast<int32_t>(config.pad_token_id);
  for (ReformerConfig::LayerKind kind : config.layers) {
    const bool lsh = kind == ReformerConfig::LayerKind::kLsh;
    const ChunkShape& shape = lsh ? config.lsh : config.local;
    info.layers.push_back({.kind = lsh ? AttentionKind::kLsh : AttentionKind::kLocalChunk,
                           .chunk_length = shape.chunk_length,
                           .chunks_before = shape.chunks_before,
                           .chunks_after = shape.chunks_after});
  }
  info.supports_hashing = config.Has(ReformerConfig::LayerKind::kLsh);
  info.num_hashes = config.num_hashes;
  info.hash_seed = config.hash_seed;
  info.is_causal = config.local.causal;
  info.length_multiple = config.length_multiple();
  return info;
}

// The rotations of one forward pass. Those of one seed, number of rounds and number of buckets are
// drawn once, for all layers and texts that share them.
class Rotations {
 public:
  explicit Rotations(const ReformerConfig& config) : config_(config) {}

  // Null for a text of at most one chunk, which is not hashed. Valid as long as this object.
  const LshRotations* For(int64_t padded_length, const LshOptions& options) {
    const std::optional<TextHashing> hashing = HashingOf(config_, padded_length, options);
    if (!hashing.has_value()) return nullptr;
    auto [found, inserted] = drawn_.try_emplace(*hashing);
    if (inserted) found->second = DrawRotations(config_, *hashing);
    return &found->second;
  }

 private:
  const ReformerConfig& config_;
  std::map<TextHashing, LshRotations> drawn_;
};

class ReformerModel : public EncoderModel {
 public:
  ReformerModel(WeightMap& weights, const ReformerConfig& config, const Placement& placement)
      : config_(config),
        placement_(placement),
        embeddings_(weights, config, placement),
        info_(MakeInfo(config, placement)) {
    for (size_t i = 0; i < config.layers.size(); ++i)
      layers_.emplace_back(weights, absl::StrCat("encoder.layers.", i), config, config.layers[i],
                           placement);
    norm_ = TakeLayerNorm(weights, "encoder.layer_norm", 2 * config.hidden_size,
                          config.layer_norm_eps, placement);
    info_.num_parameters = weights.num_parameters();
    info_.weight_bytes = Bytes();
    if (placement.backend != nullptr)
      rotations_ = std::make_unique<DeviceRotationCache>(config, *placement.backend);
  }

  const ModelInfo& info() const override { return info_; }

  absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch,
                                       const ForwardOptions& options) const override {
    c10::InferenceMode inference;
    if (absl::Status status = CheckRounds(batch); !status.ok()) return status;
    if (placement_.backend != nullptr) return ForwardOnBackend(batch, options);
    const PaddedBatch padded(batch, config_);
    Rotations rotations(config_);
    at::Tensor x1 = at::empty({padded.num_rows(), config_.hidden_size}, at::kFloat);
    at::Tensor x2 = at::empty_like(x1);
    embeddings_.Run(padded, x1, x2);
    Observe(batch, padded, options, 0, x2);

    std::vector<int32_t> wanted;  // the texts that `pass` was planned for
    ReformerPass pass{.key_mask = padded.key_mask(), .observer = options.observe_attention};
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (options.at_seam) options.at_seam();
      std::vector<int32_t> still = StillWanted(batch, options);
      if (still.empty()) return absl::CancelledError("all texts of the batch were dropped");
      if (still != wanted) Plan(batch, padded, still, rotations, pass);
      wanted = std::move(still);
      layers_[i].Run(x1, x2, pass);
      Observe(batch, padded, options, static_cast<int>(i) + 1, x2);
    }
    return HiddenStates(
        [this, x1, x2](int64_t begin, int64_t end) { return Rows(x1, x2, begin, end); },
        padded.text_begin());
  }

 private:
  absl::StatusOr<HiddenStates> ForwardOnBackend(const TokenBatch& batch,
                                                const ForwardOptions& options) const {
    TORCH_CHECK(options.observe_attention == nullptr, "attention is observed on the CPU alone");
    DevicePass texts(batch, config_, placement_, *rotations_);
    at::Tensor x1 = embeddings_.OnBackend(texts.padded()), x2 = x1.clone();
    const auto observe = [&](size_t layer) {
      if (options.observe_layer)
        options.observe_layer(static_cast<int>(layer), texts.WithoutPadding(x2));
    };
    observe(0);
    ReformerPass pass;
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (options.at_seam) options.at_seam();
      const std::vector<int32_t> still = StillWanted(batch, options);
      if (still.empty()) return absl::CancelledError("all texts of the batch were dropped");
      texts.Keep(still, x1, x2, pass);
      layers_[i].Run(x1, x2, pass);
      observe(i + 1);
    }
    // The last LayerNorm, over both streams, is made of the rows that are read.
    return HiddenStates(DeviceRows{placement_.backend, at::cat({x1, x2}, 1),
                                   [this](const at::Tensor& rows) { return norm_(rows); }},
                        texts.text_begin());
  }

  // The last LayerNorm spans both streams. It is made for the rows that are read alone, so [rows,
  // 2E] never exists as a whole.
  at::Tensor Rows(const at::Tensor& x1, const at::Tensor& x2, int64_t begin, int64_t end) const {
    c10::InferenceMode inference;
    return norm_(at::cat({x1.narrow(0, begin, end - begin), x2.narrow(0, begin, end - begin)}, 1));
  }

  // The slots of a text, of all its rounds together, are counted in 32 bits.
  absl::Status CheckRounds(const TokenBatch& batch) const {
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      const int64_t rounds =
          batch.lsh(text).num_hashes > 0 ? batch.lsh(text).num_hashes : config_.num_hashes;
      const int64_t most =
          std::numeric_limits<int32_t>::max() / config_.PaddedLength(batch.length(text));
      if (rounds <= most || !info_.supports_hashing) continue;
      return absl::InvalidArgumentError(absl::StrCat("num_hashes is ", rounds, "; a text of ",
                                                     batch.length(text), " tokens takes at most ",
                                                     most));
    }
    return absl::OkStatus();
  }

  static std::vector<int32_t> StillWanted(const TokenBatch& batch, const ForwardOptions& options) {
    std::vector<int32_t> texts;
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      if (!options.is_dropped || !options.is_dropped(text)) texts.push_back(text);
    }
    return texts;
  }

  // Cuts the rows of these texts for the layers. Must be called again when texts leave.
  void Plan(const TokenBatch& batch, const PaddedBatch& padded, const std::vector<int32_t>& texts,
            Rotations& rotations, ReformerPass& pass) const {
    std::vector<ChunkedText> rows;
    std::vector<LshAttention::Text> hashed;
    const int64_t rows_a_block = BlockRows(padded.num_rows(), kMaxRowsABlock);
    pass.row_blocks.clear();
    for (int32_t text : texts) {
      const ChunkedText& chunked = padded.texts()[text];
      rows.push_back(chunked);
      AddRowBlocks(chunked.row_begin, chunked.row_begin + chunked.length, rows_a_block, pass);
      if (info_.supports_hashing)
        hashed.push_back({chunked, rotations.For(chunked.length, batch.lsh(text))});
    }
    if (config_.Has(ReformerConfig::LayerKind::kLocal)) {
      pass.windows =
          PlanChunkWindows(rows, config_.local, BlockRows(padded.num_rows(), kMaxWindowQueries));
    }
    if (!info_.supports_hashing) return;
    pass.lsh.reset();  // frees the old buffers before the new ones are made
    pass.lsh =
        std::make_unique<LshAttention>(config_.lsh, RowType(info_.dtype), config_.head_size,
                                       LshHeadsAtOnce(config_, info_.dtype, padded.num_rows()),
                                       std::move(hashed), padded.key_mask(), padded.num_rows());
  }

  // Adds rows [begin, end) in blocks of at most rows_a_block. The last block before them is filled
  // up first where it ends at `begin`, so blocks run across the borders of neighbouring texts.
  static void AddRowBlocks(int64_t begin, int64_t end, int64_t rows_a_block, ReformerPass& pass) {
    while (begin < end) {
      auto& blocks = pass.row_blocks;
      if (blocks.empty() || blocks.back().second != begin ||
          blocks.back().second - blocks.back().first == rows_a_block)
        blocks.emplace_back(begin, begin);
      const int64_t count =
          std::min(end - begin, rows_a_block - (blocks.back().second - blocks.back().first));
      blocks.back().second += count;
      begin += count;
    }
  }

  // Hands x2 to the observer, without the padding.
  static void Observe(const TokenBatch& batch, const PaddedBatch& padded,
                      const ForwardOptions& options, int layer, const at::Tensor& x2) {
    if (!options.observe_layer) return;
    std::vector<at::Tensor> parts;
    parts.reserve(batch.num_texts());
    for (int32_t text = 0; text < batch.num_texts(); ++text)
      parts.push_back(x2.narrow(0, padded.texts()[text].row_begin, batch.length(text)));
    options.observe_layer(layer, at::cat(parts));
  }

  // On a backend, too, all but the linear layers is float32.
  int64_t Bytes() const {
    if (placement_.backend == nullptr)
      return WeightBytes(info_.num_parameters, NumLinearParameters(), placement_);
    const auto bytes = static_cast<int64_t>(c10::elementSize(placement_.row_type()));
    return 4 * (info_.num_parameters - NumLinearParameters()) + bytes * NumLinearParameters();
  }

  int64_t NumLinearParameters() const {
    const int64_t inner = config_.num_heads * config_.head_size;
    int64_t count = 0;
    for (ReformerConfig::LayerKind kind : config_.layers) {
      // Local: query, key, value, output. LSH: value and output, since qk stays float32.
      count += config_.hidden_size * inner * (kind == ReformerConfig::LayerKind::kLocal ? 4 : 2);
      count += 2 * config_.hidden_size * config_.intermediate_size;
    }
    return count;
  }

  ReformerConfig config_;
  Placement placement_;
  ReformerEmbeddings embeddings_;
  ModelInfo info_;
  std::vector<ReformerLayer> layers_;
  LayerNorm norm_;                                  // over both streams, [2E]
  std::unique_ptr<DeviceRotationCache> rotations_;  // null on the CPU
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadReformer(const ModelFolder& folder,
                                                           const Placement& placement) {
  return LoadModel<ReformerConfig>(folder, ParseReformerConfig, WeightRules(),
                                   [&](const ReformerConfig& config, WeightMap& weights) {
                                     return std::make_unique<ReformerModel>(weights, config,
                                                                            placement);
                                   });
}

}  // namespace longspan
