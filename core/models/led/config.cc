#include "core/models/led/config.h"

#include "core/checkpoint/json_reader.h"
#include "core/models/longformer/config.h"

namespace longspan {
namespace {

// The file does not say the epsilon of the norms: the published code takes its library's default.
constexpr EncoderConfigKeys kKeys = {
    .vocab_size = {"vocab_size", 50265},
    .hidden_size = {"d_model", 1024},
    .num_layers = {"encoder_layers", 12},
    .num_heads = {"encoder_attention_heads", 16},
    .intermediate_size = {"encoder_ffn_dim", 4096},
    .max_position_embeddings = {"max_encoder_position_embeddings", 16384},
    .type_vocab_size = {"", 0},
    .layer_norm_eps = "",
    .layer_norm_eps_fallback = 1e-5,
    .pad_token_id = {"pad_token_id", 1},
    .activation = "activation_function"};

// The published library knows three keys by a second name too, the one that other models have.
// Where it is given, it counts.
EncoderConfigKeys WithOtherNames(const JsonReader& reader) {
  EncoderConfigKeys keys = kKeys;
  if (reader.Has("hidden_size")) keys.hidden_size.name = "hidden_size";
  if (reader.Has("num_hidden_layers")) keys.num_layers.name = "num_hidden_layers";
  if (reader.Has("num_attention_heads")) keys.num_heads.name = "num_attention_heads";
  return keys;
}

}  // namespace

absl::StatusOr<LedConfig> ParseLedConfig(const nlohmann::json& json, const std::string& source) {
  JsonReader reader = ConfigReader(json, "led", source);
  LedConfig config;
  ReadEncoderConfig(reader, WithOtherNames(reader), config);
  config.windows = ReadOneSidedWindows(reader, config.num_layers);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
