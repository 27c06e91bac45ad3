#include "core/models/longformer/model.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/models/load_model.h"
#include "core/models/longformer/config.h"
#include "core/models/longformer/layer.h"
#include "core/models/packed_model.h"

namespace longspan {
namespace {

WeightMap::Rules WeightRules() {
  return {.prefixes = {"longformer.", "roberta."},
          .ignored = {"embeddings.position_ids", "pooler.*", "lm_head.*", "classifier.*",
                      "qa_outputs.*"},
          .layers = "encoder.layer."};
}

PositionRule Positions(const LongformerConfig& config) {
  PositionRule rule = PublishedPositions(config);
  if (!config.positions_skip_pad) rule.pad_token_id = -1;
  rule.period = config.position_period;
  return rule;
}

LongformerLayer TakeLayer(WeightMap& weights, const LongformerConfig& config, int64_t index,
                          const Placement& placement) {
  const std::string self = absl::StrCat("encoder.layer.", index, ".attention.self.");
  const LongformerLayer::GlobalNames globals = {self + "query_global", self + "key_global",
                                                self + "value_global"};
  const LongformerLayer::Window window = {.one_sided = config.windows[index],
                                          .dense_up_to = config.dense_up_to};
  return LongformerLayer(weights, PostNormLayer::BertNames(index), globals, config, window,
                         placement);
}

ModelInfo MakeInfo(const LongformerConfig& config, const WeightMap& weights,
                   const Placement& placement) {
  ModelInfo info = MakeModelInfo("longformer", config, weights,
                                 PostNormLayer::NumLinearParameters(config), placement);
  if (config.position_period > 0) info.max_tokens = 0;
  info.layers = SlidingWindowLayers(config.windows);
  info.supports_global_attention = true;
  info.default_global_attention = config.default_global_attention;
  info.dense_up_to = config.dense_up_to;
  return info;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadLongformer(const ModelFolder& folder,
                                                             const Placement& placement) {
  return LoadModel<LongformerConfig>(
      folder, ParseLongformerConfig, WeightRules(),
      [&](const LongformerConfig& config, WeightMap& weights) {
        TokenEmbeddings embeddings(weights, /*names=*/{}, config, Positions(config), placement);
        std::vector<LongformerLayer> layers;
        for (int64_t i = 0; i < config.num_layers; ++i)
          layers.push_back(TakeLayer(weights, config, i, placement));
        ModelInfo info = MakeInfo(config, weights, placement);
        return std::make_unique<PackedModel<LongformerLayer>>(
            std::move(embeddings), std::move(layers), std::move(info), placement);
      });
}

}  // namespace longspan
