#include "core/models/modernbert/config.h"

#include "absl/strings/str_cat.h"
#include "core/checkpoint/json_reader.h"
#include "core/models/rope_parameters.h"

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

// Tokens that a token sees on each side in layers with a window.
int64_t ReadWindow(JsonReader& reader) {
  const int64_t both_sides =
      reader.Integer("local_attention", {.fallback = 128, .min = 2, .max = 1 << 24});
  return reader.Integer("sliding_window", {.fallback = both_sides / 2, .min = 1, .max = 1 << 23});
}

// The two bases under their keys of 2024.
void ReadOldThetas(JsonReader& reader, double* full, double* sliding) {
  *full = reader.PositiveNumber("global_rope_theta", 160000.0);
  // null says that the windows' base is that of the other layers; an absent key, that it is 10,000.
  const bool one_theta = reader.Contains("local_rope_theta") && !reader.Has("local_rope_theta");
  *sliding = reader.PositiveNumber("local_rope_theta", one_theta ? *full : 10000.0);
}

// rope_parameters.KIND with rope_scaling over it.
RopeScaling ReadRope(JsonReader& reader, const char* kind, const RopeModel& model) {
  JsonReader all = reader.Object("rope_parameters");
  JsonReader own = all.Object(kind);
  JsonReader shared = reader.Object("rope_scaling");
  const RopeScaling scaling = ReadRopeScaling(own, shared, model);
  if (reader.Has("rope_parameters") && reader.Has("rope_scaling") && !all.Has(kind))
    all.FailBecause(kind, "is not given where \"rope_scaling\" is; allowed: both, or one of them");
  all.Merge(own);
  reader.Merge(all);
  reader.Merge(shared);
  return scaling;
}

// rope_parameters may hold the objects of both kinds of layers. The keys of one object without the
// kinds around them, which other models have, are not found by the published library.
void CheckRopeKinds(JsonReader& reader) {
  const nlohmann::json& all = reader.Value("rope_parameters");
  if (!all.is_object()) return;
  for (const auto& [kind, value] : all.items()) {
    if (kind == "full_attention" || kind == "sliding_attention") continue;
    reader.FailBecause("rope_parameters", absl::StrCat("holds \"", kind,
                                                       "\"; allowed: \"full_attention\" and "
                                                       "\"sliding_attention\""));
  }
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
  config.window = ReadWindow(reader);
  CheckRopeKinds(reader);
  RopeModel full{.head_size = config.head_size(), .max_positions = config.max_position_embeddings};
  RopeModel sliding = full;
  ReadOldThetas(reader, &full.theta, &sliding.theta);
  config.full_rope = ReadRope(reader, "full_attention", full);
  config.sliding_rope = ReadRope(reader, "sliding_attention", sliding);
  if (const int64_t size = reader.Integer("head_dim", {.fallback = config.head_size(), .min = 1});
      size != config.head_size()) {
    reader.Fail("head_dim",
                absl::StrCat(config.head_size(), " (hidden_size by heads), or no such key"));
  }
  if (config.head_size() % 2 != 0) {
    reader.Fail("num_attention_heads", std::to_string(config.num_heads),
                "numbers that give heads of even size (rotary embedding)");
  }
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
