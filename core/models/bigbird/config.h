// BigBirdConfig: what config.json of a BigBird (arXiv 2007.14062) says, checked. A plain value.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct BigBirdConfig : EncoderConfig {
  bool use_bias = true;             // whether query, key and value have a bias
  bool rescale_embeddings = false;  // whether word vectors are multiplied by sqrt(hidden_size)
  bool block_sparse = true;         // attention_type; false = "original_full"
  int64_t block_size = 0;           // tokens
  int64_t random_blocks = 0;

  // The longest text that sees all of itself, in tokens.
  int64_t full_up_to() const {
    return block_sparse ? (5 + 2 * random_blocks) * block_size : max_position_embeddings;
  }
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` is the file's name in
// errors.
absl::StatusOr<BigBirdConfig> ParseBigBirdConfig(const nlohmann::json& config,
                                                 const std::string& source);

}  // namespace longspan
