// LedConfig: the encoder's part of a LED config.json, checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct LedConfig : EncoderConfig {
  std::vector<int64_t> windows;  // one-sided, per layer
};

absl::StatusOr<LedConfig> ParseLedConfig(const nlohmann::json& config, const std::string& source);

}  // namespace longspan
