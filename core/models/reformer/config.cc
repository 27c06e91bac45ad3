#include "core/models/reformer/config.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/json_reader.h"
#include "core/models/encoder_config.h"

namespace longspan {
namespace {

using LayerKind = ReformerConfig::LayerKind;

// Bounds far above any published config, which keep sizes and products of them from overflowing.
constexpr int64_t kMaxChunk = 1 << 16;    // tokens
constexpr int64_t kMaxBuckets = 1 << 24;  // of one hash round

std::vector<LayerKind> ReadLayers(JsonReader& reader) {
  if (!reader.Has("attn_layers"))
    return {LayerKind::kLocal, LayerKind::kLsh,   LayerKind::kLocal,
            LayerKind::kLsh,   LayerKind::kLocal, LayerKind::kLsh};
  std::vector<LayerKind> layers;
  const nlohmann::json& names = reader.Value("attn_layers");
  bool good = names.is_array() && !names.empty();
  if (good) {
    for (const nlohmann::json& name : names) {
      good = good && (name == "local" || name == "lsh");
      layers.push_back(name == "lsh" ? LayerKind::kLsh : LayerKind::kLocal);
    }
  }
  if (!good)
    reader.Fail("attn_layers", names.dump(), "a list of \"local\" and \"lsh\", one per layer");
  return layers;
}

// The layers that run: as many of attn_layers as num_hidden_layers says. It may ask for more where
// all are of one kind, as in the published code, which looks at the list for the kind only.
void ReadLayersThatRun(JsonReader& reader, ReformerConfig& config) {
  const std::vector<LayerKind> all = ReadLayers(reader);
  for (LayerKind kind : all) (kind == LayerKind::kLsh ? config.has_lsh : config.has_local) = true;
  const bool one_kind = config.has_lsh != config.has_local;
  const auto named = static_cast<int64_t>(all.size());
  config.num_layers_key = reader.Has("num_hidden_layers") ? "num_hidden_layers" : "attn_layers";
  const int64_t running = reader.Integer(
      "num_hidden_layers", {.fallback = named, .min = 1, .max = one_kind ? int64_t{1024} : named});
  for (int64_t i = 0; i < running; ++i) config.layers.push_back(one_kind ? all[0] : all[i]);
}

ChunkShape ReadChunks(JsonReader& reader, const std::string& kind, bool causal) {
  ChunkShape shape{.causal = causal};
  shape.chunk_length = static_cast<int32_t>(
      reader.Integer(kind + "_attn_chunk_length", {.fallback = 64, .min = 1, .max = kMaxChunk}));
  shape.chunks_before =
      static_cast<int32_t>(reader.Integer(kind + "_num_chunks_before", {.fallback = 1, .max = 64}));
  shape.chunks_after =
      static_cast<int32_t>(reader.Integer(kind + "_num_chunks_after", {.fallback = 0, .max = 64}));
  return shape;
}

// The factors of num_buckets, which is an even number or a list of even factors. Empty where the
// key is null or absent: the number of buckets then follows from each text's length.
std::vector<int32_t> ReadBuckets(JsonReader& reader) {
  if (!reader.Has("num_buckets")) return {};
  const nlohmann::json& value = reader.Value("num_buckets");
  const nlohmann::json list = value.is_array() ? value : nlohmann::json::array({value});
  std::vector<int32_t> factors;
  int64_t product = 1;
  for (const nlohmann::json& factor : list) {
    const bool good = factor.is_number_integer() && factor >= 2 && factor <= kMaxBuckets &&
                      factor.get<int64_t>() % 2 == 0;
    if (good) product *= factor.get<int64_t>();
    if (!good || product > kMaxBuckets) {
      factors.clear();
      break;
    }
    factors.push_back(factor.get<int32_t>());
  }
  if (factors.empty())
    reader.Fail(
        "num_buckets", value.dump(),
        absl::StrCat("null, an even number, or a list of even factors with a product of at most ",
                     kMaxBuckets));
  return factors;
}

std::vector<int64_t> ReadPair(JsonReader& reader, const char* key, std::vector<int64_t> fallback) {
  if (!reader.Has(key)) return fallback;
  const nlohmann::json& value = reader.Value(key);
  bool good = value.is_array() && value.size() == 2;
  if (good) {
    for (const nlohmann::json& entry : value)
      good = good && entry.is_number_integer() && entry >= 1 && entry <= (int64_t{1} << 24);
  }
  if (good) return {value[0].get<int64_t>(), value[1].get<int64_t>()};
  reader.Fail(key, value.dump(), "a list of two positive integers");
  return fallback;
}

void ReadPositions(JsonReader& reader, ReformerConfig& config) {
  config.max_position_embeddings =
      reader.Integer("max_position_embeddings", {.fallback = 4096, .min = 1});
  config.axial = reader.Boolean("axial_pos_embds", true);
  if (!config.axial) return;
  config.axial_shape = ReadPair(reader, "axial_pos_shape", {64, 64});
  config.axial_widths = ReadPair(reader, "axial_pos_embds_dim", {64, 192});
  const bool column_major = reader.String("axial_pos_order", "row_major",
                                          {"row_major", "column_major"}) == "column_major";
  config.axial_order = column_major ? AxialOrder::kColumnMajor : AxialOrder::kRowMajor;
  const auto shown = [](const std::vector<int64_t>& pair) {
    return absl::StrCat("[", pair[0], ", ", pair[1], "]");
  };
  if (config.axial_widths[0] + config.axial_widths[1] != config.hidden_size) {
    reader.Fail("axial_pos_embds_dim", shown(config.axial_widths),
                absl::StrCat("two widths whose sum is the hidden_size of ", config.hidden_size));
  }
}

}  // namespace

int64_t ReformerConfig::length_multiple() const {
  if (!Has(LayerKind::kLsh)) return local.chunk_length;
  if (!Has(LayerKind::kLocal)) return lsh.chunk_length;
  return std::lcm<int64_t>(local.chunk_length, lsh.chunk_length);
}

int64_t ReformerConfig::PaddedLength(int64_t num_tokens) const {
  int64_t shortest = std::numeric_limits<int64_t>::max();
  if (Has(LayerKind::kLocal)) shortest = std::min<int64_t>(shortest, local.chunk_length);
  if (Has(LayerKind::kLsh)) shortest = std::min<int64_t>(shortest, lsh.chunk_length);
  if (num_tokens <= shortest) return num_tokens;
  const int64_t multiple = length_multiple();
  return (num_tokens + multiple - 1) / multiple * multiple;
}

int64_t ReformerConfig::num_positions() const {
  return axial ? std::min(max_position_embeddings, axial_shape[0] * axial_shape[1])
               : max_position_embeddings;
}

int64_t ReformerConfig::max_tokens() const {
  const int64_t multiple = length_multiple();
  // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): the reader refuses chunk lengths below 1
  const int64_t whole = num_positions() / multiple * multiple;
  if (whole > 0) return whole;
  // The position tables do not serve even one padded text: what is left are texts so short that
  // they run without padding.
  int64_t num_tokens = num_positions();
  while (num_tokens > 0 && PaddedLength(num_tokens) > num_positions()) --num_tokens;
  return num_tokens;
}

absl::StatusOr<ReformerConfig> ParseReformerConfig(const nlohmann::json& json,
                                                   const std::string& source) {
  JsonReader reader = ConfigReader(json, "reformer", source);
  ReformerConfig config;
  ReadLayersThatRun(reader, config);
  config.vocab_size = reader.Integer("vocab_size", {.fallback = 320, .min = 1});
  config.hidden_size = reader.Integer("hidden_size", {.fallback = 256, .min = 1, .max = 1 << 16});
  config.num_heads =
      reader.Integer("num_attention_heads", {.fallback = 12, .min = 1, .max = 1 << 12});
  config.head_size =
      reader.Integer("attention_head_size", {.fallback = 64, .min = 1, .max = 1 << 12});
  config.intermediate_size =
      reader.Integer("feed_forward_size", {.fallback = 512, .min = 1, .max = 1 << 20});
  config.activation = ReadActivation(reader, "hidden_act", "relu");
  config.layer_norm_eps = reader.PositiveNumber("layer_norm_eps", 1e-12);
  config.pad_token_id =
      reader.Integer("pad_token_id", {.fallback = 0, .max = config.vocab_size - 1});
  const bool causal = reader.Boolean("is_decoder", false);
  config.local = ReadChunks(reader, "local", causal);
  config.lsh = ReadChunks(reader, "lsh", causal);
  config.num_buckets = ReadBuckets(reader);
  config.num_hashes =
      static_cast<int32_t>(reader.Integer("num_hashes", {.fallback = 1, .min = 1, .max = 1024}));
  config.hash_seed = static_cast<uint64_t>(
      reader.Integer("hash_seed", {.fallback = 0, .max = std::numeric_limits<int64_t>::max()}));
  ReadPositions(reader, config);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
