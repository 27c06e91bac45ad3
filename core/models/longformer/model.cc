#include "core/models/longformer/model.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/models/longformer/config.h"
#include "core/models/longformer/layer.h"
#include "core/models/model_folder.h"
#include "core/models/run_layers.h"
#include "core/models/take_layers.h"
#include "core/models/token_embeddings.h"

namespace longspan {
namespace {

const WeightMap::Rules& WeightRules() {
  static const auto* rules = new WeightMap::Rules{
      .prefixes = {"longformer.", "roberta."},
      .ignored = {"embeddings.position_ids", "pooler.*", "lm_head.*", "classifier.*", "qa_outputs.*"},
  };
  return *rules;
}

PostNormLayer::Shape LayerShape(const LongformerConfig& config) {
  return {.hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .num_heads = config.num_heads,
          .layer_norm_eps = config.layer_norm_eps,
          .activation = config.activation};
}

TokenEmbeddings TakeEmbeddings(WeightMap& weights, const LongformerConfig& config) {
  const TokenEmbeddings::Shape shape = {.vocab_size = config.vocab_size,
                                        .max_positions = config.max_position_embeddings,
                                        .type_vocab_size = config.type_vocab_size,
                                        .hidden_size = config.hidden_size,
                                        .layer_norm_eps = config.layer_norm_eps};
  const PositionRule positions = {.first_row = config.pad_token_id + 1,
                                  .pad_token_id = config.positions_skip_pad ? config.pad_token_id : -1,
                                  .period = config.position_period};
  return TokenEmbeddings(weights, /*names=*/{}, shape, positions);
}

ModelInfo MakeInfo(const LongformerConfig& config, const WeightMap& weights, DataType dtype) {
  ModelInfo info;
  info.architecture = "longformer";
  info.dtype = dtype;
  info.hidden_size = info.token_dimensions = info.output_dimensions = config.hidden_size;
  info.num_heads = config.num_heads;
  info.head_size = config.hidden_size / config.num_heads;
  info.intermediate_size = config.intermediate_size;
  info.vocab_size = config.vocab_size;
  info.max_tokens = config.max_tokens();
  info.num_parameters = weights.num_parameters();
  info.weight_bytes =
      WeightBytes(info.num_parameters, config.num_layers * PostNormLayer::NumLinearParameters(LayerShape(config)), dtype);
  info.pad_token_id = static_cast<int32_t>(config.pad_token_id);
  for (int64_t window : config.windows) info.layers.push_back({.kind = AttentionKind::kSlidingWindow, .window = window});
  info.supports_global_attention = true;
  info.default_global_attention = config.default_global_attention;
  info.dense_up_to = config.dense_up_to;
  return info;
}

class Longformer final : public EncoderModel {
 public:
  Longformer(TokenEmbeddings embeddings, std::vector<LongformerLayer> layers, ModelInfo info)
      : embeddings_(std::move(embeddings)), layers_(std::move(layers)), info_(std::move(info)) {}

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch, const ForwardOptions& options) const override {
    PackedPass pass(batch, options);
    return RunLayers(layers_, embeddings_(batch), info_.dtype, pass);
  }

 private:
  TokenEmbeddings embeddings_;
  std::vector<LongformerLayer> layers_;
  ModelInfo info_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadLongformer(const ModelFolder& folder, DataType dtype) {
  const absl::StatusOr<LongformerConfig> config =
      ParseLongformerConfig(folder.config(), folder.transformer_path() + "/config.json");
  if (!config.ok()) return config.status();
  absl::StatusOr<WeightMap> weights = WeightMap::Open(folder.weight_files(), WeightRules());
  if (!weights.ok()) return weights.status();

  TokenEmbeddings embeddings = TakeEmbeddings(*weights, *config);
  std::vector<LongformerLayer> layers;
  for (int64_t i = 0; i < config->num_layers; ++i) {
    const std::string self = absl::StrCat("encoder.layer.", i, ".attention.self.");
    const LongformerLayer::GlobalNames globals = {self + "query_global", self + "key_global", self + "value_global"};
    const LongformerLayer::Window window = {.one_sided = config->windows[i], .dense_up_to = config->dense_up_to};
    layers.emplace_back(*weights, PostNormLayer::BertNames(i), globals, LayerShape(*config), window, dtype);
  }
  if (absl::Status complete = weights->Finish(); !complete.ok()) return complete;
  ModelInfo info = MakeInfo(*config, *weights, dtype);
  return std::make_unique<Longformer>(std::move(embeddings), std::move(layers), std::move(info));
}

}  // namespace longspan
