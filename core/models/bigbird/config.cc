#include "core/models/bigbird/config.h"

#include "core/models/config_reader.h"

namespace longspan {

absl::StatusOr<BigBirdConfig> ParseBigBirdConfig(const nlohmann::json& json, const std::string& source) {
  ConfigReader reader(json, source);
  BigBirdConfig config;
  config.vocab_size = reader.Integer("vocab_size", {.fallback = 50358, .min = 1});
  config.hidden_size = reader.Integer("hidden_size", {.fallback = 768, .min = 1, .max = 1 << 16});
  config.num_layers = reader.Integer("num_hidden_layers", {.fallback = 12, .min = 1, .max = 1024});
  config.num_heads = reader.Integer("num_attention_heads", {.fallback = 12, .min = 1, .max = 1 << 12});
  config.intermediate_size = reader.Integer("intermediate_size", {.fallback = 3072, .min = 1, .max = 1 << 20});
  config.max_position_embeddings = reader.Integer("max_position_embeddings", {.fallback = 4096, .min = 1, .max = 1 << 24});
  config.type_vocab_size = reader.Integer("type_vocab_size", {.fallback = 2, .min = 1, .max = 1 << 16});
  config.layer_norm_eps = reader.PositiveNumber("layer_norm_eps", 1e-12);
  config.pad_token_id = reader.Integer("pad_token_id", {.fallback = 0, .max = config.vocab_size - 1});
  config.activation = reader.ReadActivation("hidden_act", "gelu_new");
  config.use_bias = reader.Boolean("use_bias", true);
  config.rescale_embeddings = reader.Boolean("rescale_embeddings", false);
  config.block_sparse = reader.String("attention_type", "block_sparse", {"block_sparse", "original_full"}) == "block_sparse";
  config.block_size = reader.Integer("block_size", {.fallback = 64, .min = 1, .max = 1 << 16});
  config.random_blocks = reader.Integer("num_random_blocks", {.fallback = 3, .max = 1 << 16});
  if (reader.Boolean("is_decoder", false)) reader.Fail("is_decoder", "true", "false (encoders only)");
  reader.CheckHeads("hidden_size", config.hidden_size, config.num_heads);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
