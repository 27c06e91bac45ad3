// ModernBertConfig: what config.json of a ModernBERT says, checked; the spellings of 2024
// (global_attn_every_n_layers, global_rope_theta, local_rope_theta) and the new ones (layer_types,
// rope_parameters).
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
  std::vector<bool> sliding;  // per layer: a window, not the whole text
  int64_t window = 0;         // one-sided: half of local_attention; |i - j| <= window
  double full_theta = 0;      // RoPE base of the layers that see the whole text
  double sliding_theta = 0;
};

absl::StatusOr<ModernBertConfig> ParseModernBertConfig(const nlohmann::json& config,
                                                       const std::string& source);

}  // namespace longspan
