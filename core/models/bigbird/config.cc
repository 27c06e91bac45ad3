#include "core/models/bigbird/config.h"

#include "core/checkpoint/json_reader.h"

namespace longspan {
namespace {

constexpr EncoderConfigKeys kKeys = {.vocab_size = {"vocab_size", 50358},
                                     .max_position_embeddings = {"max_position_embeddings", 4096},
                                     .activation_fallback = "gelu_new"};

}  // namespace

absl::StatusOr<BigBirdConfig> ParseBigBirdConfig(const nlohmann::json& json,
                                                 const std::string& source) {
  JsonReader reader = ConfigReader(json, "big_bird", source);
  BigBirdConfig config;
  ReadEncoderConfig(reader, kKeys, config);
  config.use_bias = reader.Boolean("use_bias", true);
  config.rescale_embeddings = reader.Boolean("rescale_embeddings", false);
  config.block_sparse = reader.String("attention_type", "block_sparse",
                                      {"block_sparse", "original_full"}) == "block_sparse";
  config.block_size = reader.Integer("block_size", {.fallback = 64, .min = 1, .max = 1 << 16});
  config.random_blocks = reader.Integer("num_random_blocks", {.fallback = 3, .max = 1 << 16});
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
