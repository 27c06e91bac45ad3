#include "core/models/bigbird/model.h"

#include <cmath>
#include <utility>
#include <vector>

#include "core/models/bigbird/config.h"
#include "core/models/bigbird/layer.h"
#include "core/models/bigbird/padded_texts.h"
#include "core/models/model_folder.h"
#include "core/models/run_layers.h"
#include "core/models/take_layers.h"
#include "core/models/token_embeddings.h"

namespace longspan {
namespace {

const WeightMap::Rules& WeightRules() {
  static const auto* rules = new WeightMap::Rules{
      .prefixes = {"bert."},
      // The pooler is "pooler.weight" here, without BERT's ".dense".
      .ignored = {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*", "classifier.*", "qa_classifier.*"},
  };
  return *rules;
}

TokenEmbeddings TakeEmbeddings(WeightMap& weights, const BigBirdConfig& config) {
  const TokenEmbeddings::Shape shape = {
      .vocab_size = config.vocab_size,
      .max_positions = config.max_position_embeddings,
      .type_vocab_size = config.type_vocab_size,
      .hidden_size = config.hidden_size,
      .layer_norm_eps = config.layer_norm_eps,
      .word_scale = config.rescale_embeddings ? std::sqrt(static_cast<double>(config.hidden_size)) : 1.0};
  return TokenEmbeddings(weights, /*names=*/{}, shape, PositionRule{.last_row = config.max_position_embeddings - 1});
}

ModelInfo MakeInfo(const BigBirdConfig& config, const WeightMap& weights, DataType dtype) {
  ModelInfo info;
  info.architecture = "big_bird";
  info.dtype = dtype;
  info.hidden_size = info.token_dimensions = info.output_dimensions = config.hidden_size;
  info.num_heads = config.num_heads;
  info.head_size = config.hidden_size / config.num_heads;
  info.intermediate_size = config.intermediate_size;
  info.vocab_size = config.vocab_size;
  info.max_tokens = config.max_position_embeddings;
  info.num_parameters = weights.num_parameters();
  const int64_t linear = config.num_layers * PostNormLayer::NumLinearParameters(BigBirdLayer::LayerShape(config));
  info.weight_bytes = WeightBytes(info.num_parameters, linear, dtype);
  info.pad_token_id = static_cast<int32_t>(config.pad_token_id);
  LayerAttention attention{.kind = AttentionKind::kDense};
  if (config.block_sparse) {
    attention = {.kind = AttentionKind::kBlockSparse, .chunk_length = config.block_size, .random_blocks = config.random_blocks};
    info.dense_up_to = config.full_up_to();
    info.length_multiple = config.block_size;
  }
  info.layers.assign(config.num_layers, attention);
  return info;
}

class BigBird final : public EncoderModel {
 public:
  BigBird(TokenEmbeddings embeddings, std::vector<BigBirdLayer> layers, const PaddingRule& padding, ModelInfo info)
      : embeddings_(std::move(embeddings)), layers_(std::move(layers)), padding_(padding), info_(std::move(info)) {}

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch, const ForwardOptions& options) const override {
    const TokenBatch padded = PadLongTexts(batch, padding_);
    const ForwardOptions inner = ObserveWithoutPadding(options, batch, padded);
    PackedPass pass(padded, inner);
    return RunLayers(layers_, embeddings_(padded), info_.dtype, pass);
  }

 private:
  TokenEmbeddings embeddings_;
  std::vector<BigBirdLayer> layers_;
  PaddingRule padding_;
  ModelInfo info_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBigBird(const ModelFolder& folder, DataType dtype) {
  const absl::StatusOr<BigBirdConfig> config = ParseBigBirdConfig(folder.config(), folder.transformer_path() + "/config.json");
  if (!config.ok()) return config.status();
  absl::StatusOr<WeightMap> weights = WeightMap::Open(folder.weight_files(), WeightRules());
  if (!weights.ok()) return weights.status();

  TokenEmbeddings embeddings = TakeEmbeddings(*weights, *config);
  std::vector<BigBirdLayer> layers;
  for (int64_t i = 0; i < config->num_layers; ++i) layers.emplace_back(*weights, *config, i, dtype);
  if (absl::Status complete = weights->Finish(); !complete.ok()) return complete;
  const PaddingRule padding = {.block_size = config->block_size,
                               .full_up_to = config->full_up_to(),
                               .pad_token_id = static_cast<int32_t>(config->pad_token_id)};
  ModelInfo info = MakeInfo(*config, *weights, dtype);
  return std::make_unique<BigBird>(std::move(embeddings), std::move(layers), padding, std::move(info));
}

}  // namespace longspan
