// Checkpoints of every family with random weights, for backend_check and for peers.py, which loads
// the same folders with transformers. Speed does not depend on the weights' values. For parity they
// are drawn so that every product keeps the variance of its input: attention is then far from
// uniform, and no layer is drowned out by the residual.
//
// Weights are bfloat16 in the file, so every storage type loads the very same values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace longspan {

enum class ModelScale {
  kBase,     // the published geometry, all layers
  kShallow,  // the published widths and heads, few layers, a small vocabulary
  kTiny,     // heads of the published size, all else as small as can be
};

struct RandomModel {
  std::string name;  // "longformer-base"
  nlohmann::json config;
  std::map<std::string, std::vector<int64_t>> tensors;  // name -> shape
  // The tokenizer.json of words that `longspan bench` sends is written too.
  bool has_tokenizer = false;
  // Texts have their first token global.
  bool first_is_global = false;
};

// "longformer-base", "minilm-l6", "modernbert-base", "reformer-crime-and-punishment",
// "roberta-base", "bigbird-base", "led-base", and Reformers with other heads.
const std::vector<std::string>& RandomModelNames();
RandomModel MakeRandomModel(const std::string& name, ModelScale scale);

// Writes config.json, model.safetensors and, where the model has one, tokenizer.json into `folder`,
// which is made. The same model gives the same bytes. INTERNAL: a file cannot be written.
absl::Status WriteRandomModel(const RandomModel& model, const std::string& folder);

}  // namespace longspan
