#include "core/models/led/config.h"

#include "core/models/config_reader.h"
#include "core/models/longformer/config.h"

namespace longspan {

absl::StatusOr<LedConfig> ParseLedConfig(const nlohmann::json& json, const std::string& source) {
  ConfigReader reader(json, source);
  LedConfig config;
  config.vocab_size = reader.Integer("vocab_size", {.fallback = 50265, .min = 1});
  config.hidden_size = reader.Integer("d_model", {.fallback = 1024, .min = 1, .max = 1 << 16});
  config.num_layers = reader.Integer("encoder_layers", {.fallback = 12, .min = 1, .max = 1024});
  config.num_heads = reader.Integer("encoder_attention_heads", {.fallback = 16, .min = 1, .max = 1 << 12});
  config.intermediate_size = reader.Integer("encoder_ffn_dim", {.fallback = 4096, .min = 1, .max = 1 << 20});
  config.max_positions = reader.Integer("max_encoder_position_embeddings", {.fallback = 16384, .min = 1, .max = 1 << 24});
  config.pad_token_id = reader.Integer("pad_token_id", {.fallback = 1, .max = config.vocab_size - 1});
  config.activation = reader.ReadActivation("activation_function", "gelu");
  config.windows = ReadOneSidedWindows(reader, config.num_layers);
  reader.CheckHeads("d_model", config.hidden_size, config.num_heads);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
