// BigBirdConfig: what config.json of a BigBird says, checked.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct BigBirdConfig : EncoderConfig {
  bool use_bias = true;             // of query, key, value
  bool rescale_embeddings = false;  // word vectors times sqrt(E)
  bool block_sparse = true;         // attention_type; false = "original_full"
  int64_t block_size = 0;
  int64_t random_blocks = 0;

  // Longest text that sees all of itself.
  int64_t full_up_to() const {
    return block_sparse ? (5 + 2 * random_blocks) * block_size : max_position_embeddings;
  }
};

absl::StatusOr<BigBirdConfig> ParseBigBirdConfig(const nlohmann::json& config,
                                                 const std::string& source);

}  // namespace longspan
