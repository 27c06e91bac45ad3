// LedConfig: the encoder's part of what config.json of a LED says, checked. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct LedConfig : EncoderConfig {
  std::vector<int64_t> windows;  // one-sided, in tokens, per layer: half of attention_window
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` is the file's name in
// errors.
absl::StatusOr<LedConfig> ParseLedConfig(const nlohmann::json& config, const std::string& source);

}  // namespace longspan
