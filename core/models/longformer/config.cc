#include "core/models/longformer/config.h"

#include "absl/strings/str_cat.h"
#include "core/checkpoint/json_reader.h"

namespace longspan {
namespace {

constexpr EncoderConfigKeys kKeys = {.vocab_size = {"vocab_size", 30522},
                                     .pad_token_id = {"pad_token_id", 1},
                                     .positions_behind_pad = true};

}  // namespace

std::vector<int64_t> ReadOneSidedWindows(JsonReader& reader, int64_t num_layers) {
  std::vector<int64_t> windows = reader.IntegerPerLayer(
      "attention_window", num_layers, {.fallback = 512, .min = 2, .max = 1 << 24});
  for (int64_t& window : windows) {
    if (window % 2 != 0)
      reader.Fail("attention_window", std::to_string(window),
                  "even numbers from 2 (half of it lies on each side)");
    window /= 2;
  }
  return windows;
}

std::vector<LayerAttention> SlidingWindowLayers(const std::vector<int64_t>& one_sided_windows) {
  std::vector<LayerAttention> layers;
  layers.reserve(one_sided_windows.size());
  for (int64_t window : one_sided_windows)
    layers.push_back({.kind = AttentionKind::kSlidingWindow, .window = window});
  return layers;
}

namespace {

void ReadLongspanKeys(JsonReader& reader, LongformerConfig& config) {
  JsonReader ours = reader.Object("longspan");
  config.dense_up_to = ours.Integer("dense_up_to", {.fallback = 0});
  config.position_period = ours.Integer("position_period", {.fallback = 0});
  config.positions_skip_pad = ours.Boolean("positions_skip_pad", true);
  const std::string globals = ours.String("default_global_attention", "none", {"none", "cls"});
  config.default_global_attention =
      globals == "cls" ? GlobalAttention::kCls : GlobalAttention::kNone;
  // The rows of the position table behind the one that a text's first token takes.
  const int64_t rows_left = config.max_position_embeddings - config.pad_token_id - 2;
  if (config.position_period > rows_left) {
    ours.Fail("position_period", std::to_string(config.position_period),
              absl::StrCat("0 to ", rows_left, " (max_position_embeddings - pad_token_id - 2)"));
  }
  reader.Merge(ours);
}

}  // namespace

absl::StatusOr<LongformerConfig> ParseLongformerConfig(const nlohmann::json& json,
                                                       const std::string& source) {
  JsonReader reader = ConfigReader(json, "longformer", source);
  LongformerConfig config;
  ReadEncoderConfig(reader, kKeys, config);
  config.windows = ReadOneSidedWindows(reader, config.num_layers);
  for (const int64_t step :
       reader.IntegerPerLayer("attention_dilation", config.num_layers, {.fallback = 1, .min = 1})) {
    if (step != 1) reader.Fail("attention_dilation", "1 in every layer");
  }
  ReadLongspanKeys(reader, config);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
