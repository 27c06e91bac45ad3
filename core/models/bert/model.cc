#include "core/models/bert/model.h"

#include <utility>
#include <vector>

#include "core/kernels/sliding_window_attention.h"
#include "core/models/bert/config.h"
#include "core/models/bert/layer.h"
#include "core/models/model_folder.h"
#include "core/models/run_layers.h"
#include "core/models/take_layers.h"
#include "core/models/token_embeddings.h"

namespace longspan {
namespace {

const WeightMap::Rules& WeightRules() {
  static const auto* rules = new WeightMap::Rules{
      .prefixes = {"bert.", "roberta."},
      .ignored = {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*", "lm_head.*", "classifier.*",
                  "qa_outputs.*"},
  };
  return *rules;
}

PostNormLayer::Shape LayerShape(const BertConfig& config) {
  return {.hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .num_heads = config.num_heads,
          .layer_norm_eps = config.layer_norm_eps,
          .activation = config.activation};
}

TokenEmbeddings TakeEmbeddings(WeightMap& weights, const BertConfig& config) {
  const TokenEmbeddings::Shape shape = {.vocab_size = config.vocab_size,
                                        .max_positions = config.max_position_embeddings,
                                        .type_vocab_size = config.type_vocab_size,
                                        .hidden_size = config.hidden_size,
                                        .layer_norm_eps = config.layer_norm_eps};
  PositionRule positions;
  if (config.family == BertFamily::kRoberta)
    positions = {.first_row = config.pad_token_id + 1, .pad_token_id = config.pad_token_id};
  return TokenEmbeddings(weights, /*names=*/{}, shape, positions);
}

ModelInfo MakeInfo(const BertConfig& config, const std::string& model_type, const WeightMap& weights, DataType dtype) {
  ModelInfo info;
  info.architecture = model_type;
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
  LayerAttention attention{.kind = AttentionKind::kDense};
  if (config.window > 0) attention = {.kind = AttentionKind::kSlidingWindow, .window = config.window};
  info.layers.assign(config.num_layers, attention);
  return info;
}

class Bert final : public EncoderModel {
 public:
  Bert(TokenEmbeddings embeddings, std::vector<BertLayer> layers, ModelInfo info)
      : embeddings_(std::move(embeddings)), layers_(std::move(layers)), info_(std::move(info)) {}

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch, const ForwardOptions& options) const override {
    PackedPass pass(batch, options);
    return RunLayers(layers_, embeddings_(batch), info_.dtype, pass);
  }

 private:
  TokenEmbeddings embeddings_;
  std::vector<BertLayer> layers_;
  ModelInfo info_;
};

absl::StatusOr<std::unique_ptr<EncoderModel>> Load(const ModelFolder& folder, BertFamily family, DataType dtype) {
  const absl::StatusOr<BertConfig> config = ParseBertConfig(folder.config(), family, folder.transformer_path() + "/config.json");
  if (!config.ok()) return config.status();
  absl::StatusOr<WeightMap> weights = WeightMap::Open(folder.weight_files(), WeightRules());
  if (!weights.ok()) return weights.status();

  TokenEmbeddings embeddings = TakeEmbeddings(*weights, *config);
  const int64_t window = config->window > 0 ? config->window : kernels::kUnlimitedWindow;
  std::vector<BertLayer> layers;
  for (int64_t i = 0; i < config->num_layers; ++i) layers.emplace_back(*weights, i, LayerShape(*config), window, dtype);
  if (absl::Status complete = weights->Finish(); !complete.ok()) return complete;
  ModelInfo info = MakeInfo(*config, folder.model_type(), *weights, dtype);
  return std::make_unique<Bert>(std::move(embeddings), std::move(layers), std::move(info));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBert(const ModelFolder& folder, DataType dtype) {
  return Load(folder, BertFamily::kBert, dtype);
}

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadRoberta(const ModelFolder& folder, DataType dtype) {
  return Load(folder, BertFamily::kRoberta, dtype);
}

}  // namespace longspan
