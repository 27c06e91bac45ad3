#include "core/models/modernbert/config.h"

#include "core/models/config_reader.h"

namespace longspan {
namespace {

// layer_types where it is there; else every n-th layer from 0 on sees the whole text.
std::vector<bool> ReadSlidingLayers(ConfigReader& reader, int64_t num_layers) {
  const int64_t every = reader.Integer("global_attn_every_n_layers", {.fallback = 3, .min = 1});
  const std::vector<std::string> types =
      reader.StringPerLayer("layer_types", num_layers, {"full_attention", "sliding_attention"});
  std::vector<bool> sliding;
  for (int64_t i = 0; i < num_layers; ++i) sliding.push_back(types.empty() ? i % every != 0 : types[i] == "sliding_attention");
  return sliding;
}

// rope_parameters.KIND.rope_theta, else the old key's value.
double ReadTheta(ConfigReader& reader, const char* kind, double old_value) {
  ConfigReader all = reader.Object("rope_parameters");
  ConfigReader rope = all.Object(kind);
  rope.String("rope_type", "default", {"default"});
  const double theta = rope.PositiveNumber("rope_theta", old_value);
  all.Merge(rope);
  reader.Merge(all);
  return theta;
}

}  // namespace

absl::StatusOr<ModernBertConfig> ParseModernBertConfig(const nlohmann::json& json, const std::string& source) {
  ConfigReader reader(json, source);
  ModernBertConfig config;
  config.vocab_size = reader.Integer("vocab_size", {.fallback = 50368, .min = 1});
  config.hidden_size = reader.Integer("hidden_size", {.fallback = 768, .min = 1, .max = 1 << 16});
  config.num_layers = reader.Integer("num_hidden_layers", {.fallback = 22, .min = 1, .max = 1024});
  config.num_heads = reader.Integer("num_attention_heads", {.fallback = 12, .min = 1, .max = 1 << 12});
  config.intermediate_size = reader.Integer("intermediate_size", {.fallback = 1152, .min = 1, .max = 1 << 20});
  config.max_position_embeddings = reader.Integer("max_position_embeddings", {.fallback = 8192, .min = 1});
  const int64_t default_pad = config.vocab_size > 50283 ? 50283 : 0;
  config.pad_token_id = reader.Integer("pad_token_id", {.fallback = default_pad, .max = config.vocab_size - 1});
  config.norm_eps = reader.PositiveNumber("norm_eps", 1e-5);
  config.activation = reader.ReadActivation("hidden_activation", "gelu");
  config.attention_bias = reader.Boolean("attention_bias", false);
  config.mlp_bias = reader.Boolean("mlp_bias", false);
  config.norm_bias = reader.Boolean("norm_bias", false);
  config.sliding = ReadSlidingLayers(reader, config.num_layers);
  config.window = reader.Integer("local_attention", {.fallback = 128, .min = 2, .max = 1 << 24}) / 2;
  const double old_full = reader.PositiveNumber("global_rope_theta", 160000.0);
  const bool one_theta = json.contains("local_rope_theta") && json["local_rope_theta"].is_null();
  const double old_sliding = reader.PositiveNumber("local_rope_theta", one_theta ? old_full : 10000.0);
  config.full_theta = ReadTheta(reader, "full_attention", old_full);
  config.sliding_theta = ReadTheta(reader, "sliding_attention", old_sliding);
  reader.CheckHeads("hidden_size", config.hidden_size, config.num_heads);
  if (config.hidden_size / config.num_heads % 2 != 0) {
    reader.Fail("num_attention_heads", std::to_string(config.num_heads),
                "numbers that give heads of even size (rotary embedding)");
  }
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
