// InspectModel: what a model folder holds and will cost, for people (text) and programs (JSON): architecture, layers and how far
// each sees, parameters, longest text, memory by length, memory saved by axial positions, predicted tokens/s.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "nlohmann/json.hpp"

namespace longspan {

// How far a token's vector can depend on others after a layer, by window and chunks alone; -1 = on every token of its text.
struct Reach {
  int64_t before = 0;  // tokens to the left
  int64_t after = 0;   // tokens to the right
};

// Reach after each layer, [layers]. Global tokens, where used, carry anything anywhere within two layers and are not counted.
// Example, windows 2 and 4 (one-sided): 2, then 6 tokens on each side.
std::vector<Reach> ReceptiveField(const ModelInfo& info);

// Bytes of a full position table beyond the two axial factors; 0 for models without axial positions.
// `config` is config.json of the folder.
int64_t AxialBytesSaved(const nlohmann::json& config);

// Loads the model and, where `measure` is set, runs its warm-up to predict speed. Keys of the result: see tests/core/tools.
absl::StatusOr<nlohmann::json> InspectModel(const std::string& model_dir, DataType dtype, bool measure);

// The same for people: a few aligned lines.
std::string InspectionText(const nlohmann::json& inspection);

}  // namespace longspan
