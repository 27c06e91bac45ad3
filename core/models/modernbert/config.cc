#include "core/models/modernbert/config.h"

#include "core/checkpoint/json_reader.h"

namespace longspan {
namespace {

constexpr EncoderConfigKeys kKeys = {.vocab_size = {"vocab_size", 50368},
                                     .num_layers = {"num_hidden_layers", 22},
                                     .intermediate_size = {"intermediate_size", 1152},
                                     .max_position_embeddings = {"max_position_embeddings", 8192},
                                     .type_vocab_size = {"", 0},
                                     .layer_norm_eps = "norm_eps",
                                     .layer_norm_eps_fallback = 1e-5,
                                     .pad_token_id = {"pad_token_id", 50283},
                                     .activation = "hidden_activation"};

// Which layers have a window: what layer_types says, and where it is absent all but layer 0 and
// every n-th layer behind it, which see the whole text.
std::vector<bool> ReadSlidingLayers(JsonReader& reader, int64_t num_layers) {
  const int64_t every = reader.Integer("global_attn_every_n_layers", {.fallback = 3, .min = 1});
  const std::vector<std::string> types =
      reader.StringPerLayer("layer_types", num_layers, {"full_attention", "sliding_attention"});
  std::vector<bool> sliding;
  for (int64_t i = 0; i < num_layers; ++i)
    sliding.push_back(types.empty() ? i % every != 0 : types[i] == "sliding_attention");
  return sliding;
}

// rope_parameters.KIND.rope_theta, or the value of the old key where that is absent.
double ReadTheta(JsonReader& reader, const char* kind, double old_value) {
  JsonReader all = reader.Object("rope_parameters");
  JsonReader rope = all.Object(kind);
  rope.String("rope_type", "default", {"default"});
  const double theta = rope.PositiveNumber("rope_theta", old_value);
  all.Merge(rope);
  reader.Merge(all);
  return theta;
}

}  // namespace

absl::StatusOr<ModernBertConfig> ParseModernBertConfig(const nlohmann::json& json,
                                                       const std::string& source) {
  JsonReader reader = ConfigReader(json, "modernbert", source);
  ModernBertConfig config;
  EncoderConfigKeys keys = kKeys;
  const int64_t vocab_size =
      reader.Integer("vocab_size", {.fallback = kKeys.vocab_size.fallback, .min = 1});
  // A small vocabulary does not have the published pad id; where its file names none either, it is
  // 0.
  if (vocab_size <= keys.pad_token_id.fallback) keys.pad_token_id.fallback = 0;
  ReadEncoderConfig(reader, keys, config);
  config.attention_bias = reader.Boolean("attention_bias", false);
  config.mlp_bias = reader.Boolean("mlp_bias", false);
  config.norm_bias = reader.Boolean("norm_bias", false);
  config.sliding = ReadSlidingLayers(reader, config.num_layers);
  config.window =
      reader.Integer("local_attention", {.fallback = 128, .min = 2, .max = 1 << 24}) / 2;
  const double old_full = reader.PositiveNumber("global_rope_theta", 160000.0);
  // null says that the windows' base is that of the other layers; an absent key, that it is 10,000.
  const bool one_theta = reader.Contains("local_rope_theta") && !reader.Has("local_rope_theta");
  const double old_sliding =
      reader.PositiveNumber("local_rope_theta", one_theta ? old_full : 10000.0);
  config.full_theta = ReadTheta(reader, "full_attention", old_full);
  config.sliding_theta = ReadTheta(reader, "sliding_attention", old_sliding);
  if (config.head_size() % 2 != 0) {
    reader.Fail("num_attention_heads", std::to_string(config.num_heads),
                "numbers that give heads of even size (rotary embedding)");
  }
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
