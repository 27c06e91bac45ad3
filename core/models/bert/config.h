// BertConfig: what config.json of a BERT, RoBERTa or XLM-RoBERTa says, checked. The families differ in data only.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/layers/linear.h"
#include "nlohmann/json.hpp"

namespace longspan {

// Where positions start, and which keys hold other defaults.
enum class BertFamily {
  kBert,     // rows 0, 1, 2, ... whatever the ids
  kRoberta,  // from the ids: rows pad + 1 upward for tokens, row pad for the pad id
};

struct BertConfig {
  BertFamily family = BertFamily::kBert;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t type_vocab_size = 0;
  double layer_norm_eps = 0;
  int64_t pad_token_id = 0;
  Activation activation = Activation::kGelu;
  int64_t window = 0;  // one-sided, from "longspan": {"window": total}; 0 = each text sees all of itself

  int64_t max_tokens() const {
    return family == BertFamily::kBert ? max_position_embeddings : max_position_embeddings - pad_token_id - 1;
  }
};

absl::StatusOr<BertConfig> ParseBertConfig(const nlohmann::json& config, BertFamily family, const std::string& source);

}  // namespace longspan
