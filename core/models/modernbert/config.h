// ModernBertConfig: what config.json of a ModernBERT (arXiv 2412.13663) says, checked. It reads the
// spellings of 2024 (global_attn_every_n_layers, global_rope_theta, local_rope_theta, rope_scaling)
// and the newer ones (layer_types, rope_parameters). A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/layers/rope_scaling.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct ModernBertConfig : EncoderConfig {
  bool attention_bias = false;
  bool mlp_bias = false;
  bool norm_bias = false;
  std::vector<bool> sliding;  // per layer: true = a window, false = the whole text
  // One-sided, in tokens: sliding_window, or half of local_attention; |i - j| <= window.
  int64_t window = 0;
  RopeScaling full_rope;     // of the layers that see the whole text
  RopeScaling sliding_rope;  // of the layers with a window
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` is the file's name in
// errors.
absl::StatusOr<ModernBertConfig> ParseModernBertConfig(const nlohmann::json& config,
                                                       const std::string& source);

}  // namespace longspan
