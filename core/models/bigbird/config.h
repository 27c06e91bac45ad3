// BigBirdConfig: what config.json of a BigBird says, checked.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/layers/linear.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct BigBirdConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t type_vocab_size = 0;
  double layer_norm_eps = 0;
  int64_t pad_token_id = 0;
  Activation activation = Activation::kGeluTanh;
  bool use_bias = true;             // of query, key, value
  bool rescale_embeddings = false;  // word vectors times sqrt(E)
  bool block_sparse = true;         // attention_type; false = "original_full"
  int64_t block_size = 0;
  int64_t random_blocks = 0;

  // Longest text that sees all of itself.
  int64_t full_up_to() const { return block_sparse ? (5 + 2 * random_blocks) * block_size : max_position_embeddings; }
};

absl::StatusOr<BigBirdConfig> ParseBigBirdConfig(const nlohmann::json& config, const std::string& source);

}  // namespace longspan
