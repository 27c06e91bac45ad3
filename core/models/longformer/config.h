// LongformerConfig: what config.json of a Longformer (arXiv 2004.05150) says, checked. The keys are
// those of transformers and the object "longspan", which our converter writes. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/json_reader.h"
#include "core/model_info.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct LongformerConfig : EncoderConfig {
  std::vector<int64_t> windows;  // one-sided, in tokens, per layer: half of attention_window

  // The keys of the object "longspan".

  // The longest text that sees all of itself, in tokens; 0 = no text does.
  int64_t dense_up_to = 0;
  // The position rows behind the first repeat with this period, so that no text is too long; 0 =
  // each row serves one position, as published.
  int64_t position_period = 0;
  // A pad id inside a text takes the pad row and does not count as a position, as published.
  bool positions_skip_pad = true;
  GlobalAttention default_global_attention = GlobalAttention::kNone;
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` is the file's name in
// errors.
absl::StatusOr<LongformerConfig> ParseLongformerConfig(const nlohmann::json& config,
                                                       const std::string& source);

// Reads attention_window, one number or one per layer, each even and positive, and halves it to
// one-sided windows. LED shares it.
std::vector<int64_t> ReadOneSidedWindows(JsonReader& reader, int64_t num_layers);
// One-sided windows in the form that ModelInfo has.
std::vector<LayerAttention> SlidingWindowLayers(const std::vector<int64_t>& one_sided_windows);

}  // namespace longspan
