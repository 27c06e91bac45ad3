#include "core/models/bigbird/model.h"

#include <cmath>
#include <utility>
#include <vector>

#include "core/models/bigbird/config.h"
#include "core/models/bigbird/layer.h"
#include "core/models/bigbird/padded_texts.h"
#include "core/models/load_model.h"
#include "core/models/run_layers.h"
#include "core/models/token_embeddings.h"

namespace longspan {
namespace {

WeightMap::Rules WeightRules() {
  return {.prefixes = {"bert."},
          // The pooler is "pooler.weight" here, without BERT's ".dense".
          .ignored = {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*",
                      "classifier.*", "qa_classifier.*"},
          .layers = "encoder.layer."};
}

TokenEmbeddings TakeEmbeddings(WeightMap& weights, const BigBirdConfig& config,
                               const Placement& placement) {
  PositionRule positions = PublishedPositions(config);
  positions.last_row = config.max_position_embeddings - 1;
  const double word_scale =
      config.rescale_embeddings ? std::sqrt(static_cast<double>(config.hidden_size)) : 1.0;
  return TokenEmbeddings(weights, /*names=*/{}, config, positions, placement, word_scale);
}

ModelInfo MakeInfo(const BigBirdConfig& config, const WeightMap& weights,
                   const Placement& placement) {
  ModelInfo info = MakeModelInfo("big_bird", config, weights,
                                 PostNormLayer::NumLinearParameters(config), placement);
  LayerAttention attention{.kind = AttentionKind::kDense};
  if (config.block_sparse) {
    attention = {.kind = AttentionKind::kBlockSparse,
                 .chunk_length = config.block_size,
                 .random_blocks = config.random_blocks};
    info.dense_up_to = config.full_up_to();
    info.length_multiple = config.block_size;
  }
  info.layers.assign(config.num_layers, attention);
  return info;
}

class BigBird final : public EncoderModel {
 public:
  BigBird(TokenEmbeddings embeddings, std::vector<BigBirdLayer> layers, const PaddingRule& padding,
          ModelInfo info, const Placement& placement)
      : embeddings_(std::move(embeddings)),
        layers_(std::move(layers)),
        padding_(padding),
        info_(std::move(info)),
        placement_(placement),
        recordings_(placement) {}

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch,
                                       const ForwardOptions& options) const override {
    const TokenBatch padded = PadLongTexts(batch, padding_);
    const ForwardOptions inner = ObserveWithoutPadding(options, batch, padded);
    PackedPass pass(padded, inner, placement_);
    return RunLayers(layers_, embeddings_(padded), pass, recordings_);
  }
  void FreeKept() const override { recordings_.Clear(); }
  RecordingCounts recordings() const override { return recordings_.counts(); }

 private:
  TokenEmbeddings embeddings_;
  std::vector<BigBirdLayer> layers_;
  PaddingRule padding_;
  ModelInfo info_;
  Placement placement_;
  mutable LayerRecordings recordings_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBigBird(const ModelFolder& folder,
                                                          const Placement& placement) {
  return LoadModel<BigBirdConfig>(
      folder, ParseBigBirdConfig, WeightRules(),
      [&](const BigBirdConfig& config, WeightMap& weights) {
        TokenEmbeddings embeddings = TakeEmbeddings(weights, config, placement);
        std::vector<BigBirdLayer> layers;
        for (int64_t i = 0; i < config.num_layers; ++i)
          layers.emplace_back(weights, config, i, placement);
        const PaddingRule padding = {.block_size = config.block_size,
                                     .full_up_to = config.full_up_to(),
                                     .pad_token_id = static_cast<int32_t>(config.pad_token_id)};
        return std::make_unique<BigBird>(std::move(embeddings), std::move(layers), padding,
                                         MakeInfo(config, weights, placement), placement);
      });
}

}  // namespace longspan
