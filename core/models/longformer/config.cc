#include "core/models/longformer/config.h"

#include "absl/strings/str_cat.h"
#include "core/models/config_reader.h"

namespace longspan {

std::vector<int64_t> ReadOneSidedWindows(ConfigReader& reader, int64_t num_layers) {
  std::vector<int64_t> windows =
      reader.IntegerPerLayer("attention_window", num_layers, {.fallback = 512, .min = 2, .max = 1 << 24});
  for (int64_t& window : windows) {
    if (window % 2 != 0)
      reader.Fail("attention_window", std::to_string(window), "even numbers from 2 (half of it lies on each side)");
    window /= 2;
  }
  return windows;
}

namespace {

void ReadLongspanKeys(ConfigReader& reader, LongformerConfig& config) {
  ConfigReader ours = reader.Object("longspan");
  config.dense_up_to = ours.Integer("dense_up_to", {.fallback = 0});
  config.position_period = ours.Integer("position_period", {.fallback = 0});
  config.positions_skip_pad = ours.Boolean("positions_skip_pad", true);
  const std::string globals = ours.String("default_global_attention", "none", {"none", "cls"});
  config.default_global_attention = globals == "cls" ? GlobalAttention::kCls : GlobalAttention::kNone;
  const int64_t rows_left = config.max_position_embeddings - config.pad_token_id - 2;  // rows behind the first token's
  if (config.position_period > rows_left) {
    ours.Fail("position_period", std::to_string(config.position_period),
              absl::StrCat("0 to ", rows_left, " (max_position_embeddings - pad_token_id - 2)"));
  }
  reader.Merge(ours);
}

}  // namespace

absl::StatusOr<LongformerConfig> ParseLongformerConfig(const nlohmann::json& json, const std::string& source) {
  ConfigReader reader(json, source);
  LongformerConfig config;
  config.vocab_size = reader.Integer("vocab_size", {.fallback = 30522, .min = 1});
  config.hidden_size = reader.Integer("hidden_size", {.fallback = 768, .min = 1, .max = 1 << 16});
  config.num_layers = reader.Integer("num_hidden_layers", {.fallback = 12, .min = 1, .max = 1024});
  config.num_heads = reader.Integer("num_attention_heads", {.fallback = 12, .min = 1, .max = 1 << 12});
  config.intermediate_size = reader.Integer("intermediate_size", {.fallback = 3072, .min = 1, .max = 1 << 20});
  config.max_position_embeddings = reader.Integer("max_position_embeddings", {.fallback = 512, .min = 2, .max = 1 << 24});
  config.type_vocab_size = reader.Integer("type_vocab_size", {.fallback = 2, .min = 1, .max = 1 << 16});
  config.layer_norm_eps = reader.PositiveNumber("layer_norm_eps", 1e-12);
  config.pad_token_id = reader.Integer("pad_token_id", {.fallback = 1, .max = config.max_position_embeddings - 2});
  config.activation = reader.ReadActivation("hidden_act", "gelu");
  config.windows = ReadOneSidedWindows(reader, config.num_layers);
  reader.CheckHeads("hidden_size", config.hidden_size, config.num_heads);
  ReadLongspanKeys(reader, config);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
