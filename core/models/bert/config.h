// BertConfig: what config.json of a BERT, RoBERTa or XLM-RoBERTa says, checked. The families differ
// in data only.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/models/encoder_config.h"
#include "nlohmann/json.hpp"

namespace longspan {

// Where positions start, and which keys hold other defaults.
enum class BertFamily {
  kBert,     // rows 0, 1, 2, ... whatever the ids
  kRoberta,  // from the ids: rows pad + 1 upward for tokens, row pad for the pad id
};

struct BertConfig : EncoderConfig {
  int64_t window =
      0;  // one-sided, from "longspan": {"window": total}; 0 = each text sees all of itself
};

absl::StatusOr<BertConfig> ParseBertConfig(const nlohmann::json& config, BertFamily family,
                                           const std::string& source);

}  // namespace longspan
