#include "core/models/modernbert/model.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/from_blob.h>

#include <utility>
#include <vector>

#include "core/backend/backend.h"
#include "core/models/load_model.h"
#include "core/models/modernbert/config.h"
#include "core/models/modernbert/layer.h"
#include "core/models/run_layers.h"
#include "core/models/take_layers.h"

namespace longspan {
namespace {

WeightMap::Rules WeightRules() {
  return {.prefixes = {"model."},
          .ignored = {"head.*", "decoder.*", "classifier.*"},
          .layers = "layers."};
}

ModelInfo MakeInfo(const ModernBertConfig& config, const WeightMap& weights,
                   const Placement& placement) {
  // Wqkv [3E, E] and Wo [E, E], then Wi [2I, E] and Wout [E, I].
  const int64_t linear_parameters_of_a_layer = 4 * config.hidden_size * config.hidden_size +
                                               3 * config.hidden_size * config.intermediate_size;
  ModelInfo info = MakeModelInfo("modernbert", config, weights,
                                 config.num_layers * linear_parameters_of_a_layer, placement);
  for (bool sliding : config.sliding) {
    LayerAttention attention{.kind = AttentionKind::kDense};
    if (sliding) attention = {.kind = AttentionKind::kSlidingWindow, .window = config.window};
    info.layers.push_back(attention);
  }
  return info;
}

class ModernBert final : public EncoderModel {
 public:
  ModernBert(WeightMap& weights, const ModernBertConfig& config, const Placement& placement)
      : placement_(placement),
        recordings_(placement),
        tokens_(placement.Keep(weights.Take("embeddings.tok_embeddings.weight",
                                            {config.vocab_size, config.hidden_size}))),
        embedding_norm_(TakeLayerNorm(weights, "embeddings.norm", config.hidden_size,
                                      config.layer_norm_eps, placement, config.norm_bias)),
        final_norm_(TakeLayerNorm(weights, "final_norm", config.hidden_size, config.layer_norm_eps,
                                  placement, config.norm_bias)) {
    const int64_t head_size = config.head_size();
    const RotaryEmbedding full(head_size, config.full_rope, placement);
    const RotaryEmbedding sliding(head_size, config.sliding_rope, placement);
    for (int64_t i = 0; i < config.num_layers; ++i) {
      layers_.emplace_back(weights, config, i, config.sliding[i] ? sliding : full, placement);
    }
    info_ = MakeInfo(config, weights, placement);
  }

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch,
                                       const ForwardOptions& options) const override {
    PackedPass pass(batch, options, placement_);
    return RunLayers(layers_, Embedded(batch), pass, recordings_,
                     [this](const at::Tensor& rows) { return final_norm_(rows); });
  }
  void FreeKept() const override { recordings_.Clear(); }
  RecordingCounts recordings() const override { return recordings_.counts(); }

 private:
  // Word vectors, then LayerNorm: [T, E] float32; on a backend of its storage type.
  at::Tensor Embedded(const TokenBatch& batch) const {
    const at::Tensor ids = at::from_blob(const_cast<int32_t*>(batch.token_ids().data()),
                                         {batch.num_tokens()}, at::kInt);
    if (placement_.backend == nullptr) return embedding_norm_(at::embedding(tokens_, ids));
    return placement_.backend->Embed({.words = tokens_}, {.words = placement_.backend->Upload(ids)},
                                     embedding_norm_.weights());
  }

  Placement placement_;
  mutable LayerRecordings recordings_;
  at::Tensor tokens_;  // [V, E]
  LayerNorm embedding_norm_;
  LayerNorm final_norm_;
  std::vector<ModernBertLayer> layers_;
  ModelInfo info_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadModernBert(const ModelFolder& folder,
                                                             const Placement& placement) {
  return LoadModel<ModernBertConfig>(folder, ParseModernBertConfig, WeightRules(),
                                     [&](const ModernBertConfig& config, WeightMap& weights) {
                                       return std::make_unique<ModernBert>(weights, config,
                                                                           placement);
                                     });
}

}  // namespace longspan
