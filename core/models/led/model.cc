#include "core/models/led/model.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/models/led/config.h"
#include "core/models/load_model.h"
#include "core/models/longformer/config.h"
#include "core/models/longformer/layer.h"
#include "core/models/packed_model.h"

namespace longspan {
namespace {

WeightMap::Rules WeightRules() {
  return {.prefixes = {"led."},
          .ignored = {"decoder.*", "shared.weight", "final_logits_bias", "lm_head.*",
                      "classification_head.*", "qa_outputs.*"},
          .layers = "encoder.layers."};
}

// Positions are rows 0, 1, 2, ... whatever the ids are, and word vectors are not scaled. The table
// of tokens is shared with the decoder, and most checkpoints save it only once, as "shared.weight".
TokenEmbeddings TakeEmbeddings(WeightMap& weights, const LedConfig& config,
                               const Placement& placement) {
  const TokenEmbeddings::Names names = {.word = weights.Contains("encoder.embed_tokens.weight")
                                                    ? "encoder.embed_tokens.weight"
                                                    : "shared.weight",
                                        .position = "encoder.embed_positions.weight",
                                        .norm = "encoder.layernorm_embedding"};
  return TokenEmbeddings(weights, names, config, PublishedPositions(config), placement);
}

LongformerLayer TakeLayer(WeightMap& weights, const LedConfig& config, int64_t index,
                          const Placement& placement) {
  const std::string prefix = absl::StrCat("encoder.layers.", index, ".");
  const std::string self = prefix + "self_attn.longformer_self_attn.";
  const PostNormLayer::Names names = {.query = self + "query",
                                      .key = self + "key",
                                      .value = self + "value",
                                      .attention_output = prefix + "self_attn.output",
                                      .attention_norm = prefix + "self_attn_layer_norm",
                                      .intermediate = prefix + "fc1",
                                      .output = prefix + "fc2",
                                      .output_norm = prefix + "final_layer_norm"};
  const LongformerLayer::GlobalNames globals = {self + "query_global", self + "key_global",
                                                self + "value_global"};
  return LongformerLayer(weights, names, globals, config, {.one_sided = config.windows[index]},
                         placement);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadLed(const ModelFolder& folder,
                                                      const Placement& placement) {
  return LoadModel<LedConfig>(
      folder, ParseLedConfig, WeightRules(), [&](const LedConfig& config, WeightMap& weights) {
        TokenEmbeddings embeddings = TakeEmbeddings(weights, config, placement);
        std::vector<LongformerLayer> layers;
        for (int64_t i = 0; i < config.num_layers; ++i)
          layers.push_back(TakeLayer(weights, config, i, placement));
        ModelInfo info = MakeModelInfo("led", config, weights,
                                       PostNormLayer::NumLinearParameters(config), placement);
        info.layers = SlidingWindowLayers(config.windows);
        info.supports_global_attention = true;
        return std::make_unique<PackedModel<LongformerLayer>>(
            std::move(embeddings), std::move(layers), std::move(info), placement);
      });
}

}  // namespace longspan
