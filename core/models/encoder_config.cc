#include "core/models/encoder_config.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/config_keys.h"
#include "core/models/take_layers.h"

namespace longspan {
namespace {

int64_t Read(JsonReader& reader, const EncoderConfigKeys::Key& key, int64_t min, int64_t max) {
  if (key.name.empty()) return key.fallback;
  return reader.Integer(key.name, {.fallback = key.fallback, .min = min, .max = max});
}

// The width of the hidden rows must split evenly into heads.
void CheckHeads(JsonReader& reader, std::string_view key, const EncoderConfig& config) {
  if (config.hidden_size % config.num_heads == 0) return;
  reader.Fail(key, std::to_string(config.hidden_size),
              absl::StrCat("multiples of the ", config.num_heads, " attention heads"));
}

}  // namespace

Activation ReadActivation(JsonReader& reader, std::string_view key, std::string_view fallback) {
  const absl::StatusOr<Activation> activation = ParseActivation(reader.String(key, fallback));
  if (activation.ok()) return *activation;
  reader.FailBecause(key, std::string(activation.status().message()));
  return Activation::kNone;
}

JsonReader ConfigReader(const nlohmann::json& config, std::string_view model_type,
                        const std::string& source) {
  return JsonReader(config, source, JsonReader::Wording::kAllowed,
                    {.table = &ConfigKeys(), .family = std::string(model_type)});
}

void ReadEncoderConfig(JsonReader& reader, const EncoderConfigKeys& keys, EncoderConfig& config) {
  config.positions_behind_pad = keys.positions_behind_pad;
  config.vocab_size = Read(reader, keys.vocab_size, 1, int64_t{1} << 31);
  config.hidden_size = Read(reader, keys.hidden_size, 1, 1 << 16);
  config.num_layers_key = std::string(keys.num_layers.name);
  config.num_layers = Read(reader, keys.num_layers, 1, 1024);
  config.num_heads = Read(reader, keys.num_heads, 1, 1 << 12);
  config.intermediate_size = Read(reader, keys.intermediate_size, 1, 1 << 20);
  config.max_position_embeddings =
      Read(reader, keys.max_position_embeddings, keys.positions_behind_pad ? 2 : 1, 1 << 24);
  config.type_vocab_size = Read(reader, keys.type_vocab_size, 1, 1 << 16);
  config.layer_norm_eps =
      keys.layer_norm_eps.empty()
          ? keys.layer_norm_eps_fallback
          : reader.PositiveNumber(keys.layer_norm_eps, keys.layer_norm_eps_fallback);
  // The largest pad id that is allowed. Where tokens take the rows behind the pad row, at least one
  // row must be left there.
  const int64_t last_pad =
      keys.positions_behind_pad ? config.max_position_embeddings - 2 : config.vocab_size - 1;
  config.pad_token_id = Read(reader, keys.pad_token_id, 0, last_pad);
  config.activation = ReadActivation(reader, keys.activation, keys.activation_fallback);
  CheckHeads(reader, keys.hidden_size.name, config);
}

ModelInfo MakeModelInfo(std::string architecture, const EncoderConfig& config,
                        const WeightMap& weights, int64_t num_linear_parameters,
                        const Placement& placement) {
  ModelInfo info;
  info.architecture = std::move(architecture);
  info.dtype = placement.dtype;
  info.hidden_size = info.token_dimensions = info.output_dimensions = config.hidden_size;
  info.num_heads = config.num_heads;
  info.head_size = config.head_size();
  info.intermediate_size = config.intermediate_size;
  info.vocab_size = config.vocab_size;
  info.max_tokens = config.max_tokens();
  info.num_parameters = weights.num_parameters();
  info.weight_bytes = WeightBytes(info.num_parameters, num_linear_parameters, placement);
  info.pad_token_id = static_cast<int32_t>(config.pad_token_id);
  info.num_token_types = config.type_vocab_size;
  return info;
}

}  // namespace longspan
