#include "core/models/bert/model.h"

#include <utility>
#include <vector>

#include "core/kernels/sliding_window_attention.h"
#include "core/models/bert/config.h"
#include "core/models/bert/layer.h"
#include "core/models/load_model.h"
#include "core/models/packed_model.h"

namespace longspan {
namespace {

WeightMap::Rules WeightRules() {
  return {.prefixes = {"bert.", "roberta."},
          .ignored = {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*",
                      "lm_head.*", "classifier.*", "qa_outputs.*"},
          .layers = "encoder.layer."};
}

ModelInfo MakeInfo(const BertConfig& config, const std::string& model_type,
                   const WeightMap& weights, const Placement& placement) {
  ModelInfo info = MakeModelInfo(model_type, config, weights,
                                 PostNormLayer::NumLinearParameters(config), placement);
  LayerAttention attention{.kind = AttentionKind::kDense};
  if (config.window > 0)
    attention = {.kind = AttentionKind::kSlidingWindow, .window = config.window};
  info.layers.assign(config.num_layers, attention);
  return info;
}

absl::StatusOr<std::unique_ptr<EncoderModel>> Load(const ModelFolder& folder, BertFamily family,
                                                   const Placement& placement) {
  const auto parse = [family](const nlohmann::json& json, const std::string& source) {
    return ParseBertConfig(json, family, source);
  };
  return LoadModel<BertConfig>(
      folder, parse, WeightRules(), [&](const BertConfig& config, WeightMap& weights) {
        TokenEmbeddings embeddings(weights, /*names=*/{}, config, PublishedPositions(config),
                                   placement);
        const int64_t window = config.window > 0 ? config.window : kernels::kUnlimitedWindow;
        std::vector<BertLayer> layers;
        for (int64_t i = 0; i < config.num_layers; ++i)
          layers.emplace_back(weights, i, config, window, placement);
        ModelInfo info = MakeInfo(config, folder.model_type(), weights, placement);
        return std::make_unique<PackedModel<BertLayer>>(std::move(embeddings), std::move(layers),
                                                        std::move(info), placement);
      });
}

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBert(const ModelFolder& folder,
                                                       const Placement& placement) {
  return Load(folder, BertFamily::kBert, placement);
}

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadRoberta(const ModelFolder& folder,
                                                          const Placement& placement) {
  return Load(folder, BertFamily::kRoberta, placement);
}

}  // namespace longspan
