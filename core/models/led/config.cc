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

}  // namespace

absl::StatusOr<LedConfig> ParseLedConfig(const nlohmann::json& json, const std::string& source) {
  JsonReader reader = ConfigReader(json, "led", source);
  LedConfig config;
  ReadEncoderConfig(reader, kKeys, config);
  config.windows = ReadOneSidedWindows(reader, config.num_layers);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
