// BertConfig: what config.json of a BERT, RoBERTa or XLM-RoBERTa says, checked. The families differ
// in data only, not in what is computed. A plain value.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

// The families differ in the rows of the position table that tokens take, and in the defaults of
// some keys.
enum class BertFamily {
  kBert,     // rows 0, 1, 2, ..., whatever the ids are
  kRoberta,  // by the ids: tokens take the rows from pad + 1 on, the pad id takes row pad
};

struct BertConfig : EncoderConfig {
  // One-sided, in tokens: half of "window" in our own object "longspan". 0 = each text sees all of
  // itself, as published.
  int64_t window = 0;
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` is the file's name in
// errors.
absl::StatusOr<BertConfig> ParseBertConfig(const nlohmann::json& config, BertFamily family,
                                           const std::string& source);

}  // namespace longspan
