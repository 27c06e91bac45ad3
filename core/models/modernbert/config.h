// ModernBertConfig: what config.json of a ModernBERT (arXiv 2412.13663) says, checked. It reads the
// spellings of 2024 (global_attn_every_n_layers, global_rope_theta, local_rope_theta) and the newer
// ones (layer_types, rope_parameters). A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct ModernBertConfig : EncoderConfig {
  bool attention_bias = false;
  bool mlp_bias = false;
  bool norm_bias = false;
  std::vector<bool> sliding;  // per layer: true = a window, false = the whole text
  int64_t window = 0;         // one-sided, in tokens: half of local_attention; |i - j| <= window
  double full_theta = 0;      // RoPE base of the layers that see the whole text
  double sliding_theta = 0;   // RoPE base of the layers with a window
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` is the file's name in
// errors.
absl::StatusOr<ModernBertConfig> ParseModernBertConfig(const nlohmann::json& config,
                                                       const std::string& source);

}  // namespace longspan
