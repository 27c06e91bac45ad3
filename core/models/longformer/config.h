// LongformerConfig: what config.json of a Longformer says, checked (models: Longformer, arXiv
// 2004.05150; keys as in transformers).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct LongformerConfig : EncoderConfig {
  std::vector<int64_t> windows;  // one-sided, per layer: half of attention_window

  // The object "longspan", which our converter writes.
  int64_t dense_up_to = 0;  // texts up to so many tokens see all of themselves; 0 = never
  int64_t position_period =
      0;  // position rows after the first repeat with this period, so that no length is too
          // long; 0 = as published, each row once
  bool positions_skip_pad =
      true;  // a pad id inside a text takes the pad row and does not count (the published rule)
  GlobalAttention default_global_attention = GlobalAttention::kNone;
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` stands for the file
// in errors.
absl::StatusOr<LongformerConfig> ParseLongformerConfig(const nlohmann::json& config,
                                                       const std::string& source);

// Halves attention_window (a number or one per layer; even and positive) to one-sided windows.
// Shared with LED.
std::vector<int64_t> ReadOneSidedWindows(ConfigReader& reader, int64_t num_layers);
// Those windows as ModelInfo has them.
std::vector<LayerAttention> SlidingWindowLayers(const std::vector<int64_t>& one_sided_windows);

}  // namespace longspan
