#include "core/models/led/model.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/models/led/config.h"
#include "core/models/longformer/layer.h"
#include "core/models/model_folder.h"
#include "core/models/run_layers.h"
#include "core/models/take_layers.h"
#include "core/models/token_embeddings.h"

namespace longspan {
namespace {

constexpr double kLayerNormEps = 1e-5;  // not in the config: the published code uses the library's default

const WeightMap::Rules& WeightRules() {
  static const auto* rules = new WeightMap::Rules{
      .prefixes = {"led."},
      .ignored = {"decoder.*", "shared.weight", "final_logits_bias", "lm_head.*", "classification_head.*", "qa_outputs.*"},
  };
  return *rules;
}

PostNormLayer::Shape LayerShape(const LedConfig& config) {
  return {.hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .num_heads = config.num_heads,
          .layer_norm_eps = kLayerNormEps,
          .activation = config.activation};
}

// Rows 0, 1, 2, ... whatever the ids; no scale. The token table is shared with the decoder and mostly saved only once.
TokenEmbeddings TakeEmbeddings(WeightMap& weights, const LedConfig& config) {
  const TokenEmbeddings::Names names = {
      .word = weights.Contains("encoder.embed_tokens.weight") ? "encoder.embed_tokens.weight" : "shared.weight",
      .position = "encoder.embed_positions.weight",
      .norm = "encoder.layernorm_embedding"};
  const TokenEmbeddings::Shape shape = {.vocab_size = config.vocab_size,
                                        .max_positions = config.max_positions,
                                        .hidden_size = config.hidden_size,
                                        .layer_norm_eps = kLayerNormEps};
  return TokenEmbeddings(weights, names, shape, PositionRule{});
}

LongformerLayer TakeLayer(WeightMap& weights, const LedConfig& config, int64_t index, DataType dtype) {
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
  const LongformerLayer::GlobalNames globals = {self + "query_global", self + "key_global", self + "value_global"};
  return LongformerLayer(weights, names, globals, LayerShape(config), {.one_sided = config.windows[index]}, dtype);
}

ModelInfo MakeInfo(const LedConfig& config, const WeightMap& weights, DataType dtype) {
  ModelInfo info;
  info.architecture = "led";
  info.dtype = dtype;
  info.hidden_size = info.token_dimensions = info.output_dimensions = config.hidden_size;
  info.num_heads = config.num_heads;
  info.head_size = config.hidden_size / config.num_heads;
  info.intermediate_size = config.intermediate_size;
  info.vocab_size = config.vocab_size;
  info.max_tokens = config.max_positions;
  info.num_parameters = weights.num_parameters();
  info.weight_bytes =
      WeightBytes(info.num_parameters, config.num_layers * PostNormLayer::NumLinearParameters(LayerShape(config)), dtype);
  info.pad_token_id = static_cast<int32_t>(config.pad_token_id);
  for (int64_t window : config.windows) info.layers.push_back({.kind = AttentionKind::kSlidingWindow, .window = window});
  info.supports_global_attention = true;
  return info;
}

class LedEncoder final : public EncoderModel {
 public:
  LedEncoder(TokenEmbeddings embeddings, std::vector<LongformerLayer> layers, ModelInfo info)
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

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadLed(const ModelFolder& folder, DataType dtype) {
  const absl::StatusOr<LedConfig> config = ParseLedConfig(folder.config(), folder.transformer_path() + "/config.json");
  if (!config.ok()) return config.status();
  absl::StatusOr<WeightMap> weights = WeightMap::Open(folder.weight_files(), WeightRules());
  if (!weights.ok()) return weights.status();

  TokenEmbeddings embeddings = TakeEmbeddings(*weights, *config);
  std::vector<LongformerLayer> layers;
  for (int64_t i = 0; i < config->num_layers; ++i) layers.push_back(TakeLayer(*weights, *config, i, dtype));
  if (absl::Status complete = weights->Finish(); !complete.ok()) return complete;
  ModelInfo info = MakeInfo(*config, *weights, dtype);
  return std::make_unique<LedEncoder>(std::move(embeddings), std::move(layers), std::move(info));
}

}  // namespace longspan
