// LedConfig: the encoder's part of a LED config.json, checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/layers/linear.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct LedConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_positions = 0;
  int64_t pad_token_id = 0;
  Activation activation = Activation::kGelu;
  std::vector<int64_t> windows;  // one-sided, per layer
};

absl::StatusOr<LedConfig> ParseLedConfig(const nlohmann::json& config, const std::string& source);

}  // namespace longspan
