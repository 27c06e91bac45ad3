#include "core/models/bert/config.h"

#include "core/models/config_reader.h"

namespace longspan {

absl::StatusOr<BertConfig> ParseBertConfig(const nlohmann::json& json, BertFamily family, const std::string& source) {
  ConfigReader reader(json, source);
  const bool roberta = family == BertFamily::kRoberta;
  BertConfig config{.family = family};
  config.vocab_size = reader.Integer("vocab_size", {.fallback = roberta ? 50265 : 30522, .min = 1});
  config.hidden_size = reader.Integer("hidden_size", {.fallback = 768, .min = 1, .max = 1 << 16});
  config.num_layers = reader.Integer("num_hidden_layers", {.fallback = 12, .min = 1, .max = 1024});
  config.num_heads = reader.Integer("num_attention_heads", {.fallback = 12, .min = 1, .max = 1 << 12});
  config.intermediate_size = reader.Integer("intermediate_size", {.fallback = 3072, .min = 1, .max = 1 << 20});
  config.max_position_embeddings = reader.Integer("max_position_embeddings", {.fallback = 512, .min = 2, .max = 1 << 24});
  config.type_vocab_size = reader.Integer("type_vocab_size", {.fallback = 2, .min = 1, .max = 1 << 16});
  config.layer_norm_eps = reader.PositiveNumber("layer_norm_eps", 1e-12);
  const int64_t last_pad = roberta ? config.max_position_embeddings - 2 : config.vocab_size - 1;
  config.pad_token_id = reader.Integer("pad_token_id", {.fallback = roberta ? 1 : 0, .max = last_pad});
  config.activation = reader.ReadActivation("hidden_act", "gelu");
  reader.String("position_embedding_type", "absolute", {"absolute"});
  if (reader.Boolean("is_decoder", false)) reader.Fail("is_decoder", "true", "false (encoders only)");
  reader.CheckHeads("hidden_size", config.hidden_size, config.num_heads);

  ConfigReader ours = reader.Object("longspan");
  const int64_t window = ours.Integer("window", {.fallback = 0, .max = 1 << 24});
  if (window % 2 != 0) ours.Fail("window", std::to_string(window), "even numbers (half of it lies on each side); 0 = none");
  config.window = window / 2;
  reader.Merge(ours);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
