// InspectModel: what a model folder holds and will cost, for people (text) and programs (JSON):
// architecture, layers and how far each sees, parameters, longest text, memory by length, memory
// saved by axial positions, predicted tokens/s.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "nlohmann/json.hpp"

namespace longspan {

// How far the vector of a token in the middle of a long text can depend on others after a layer; -1
// = on every token of its text.
struct Reach {
  int64_t before = 0;  // tokens to the left
  int64_t after = 0;   // tokens to the right
  bool ends = false;   // and on the first and the last block of the text (BigBird)
};

// Reach after each layer, [layers].
//   window, local chunks   widths add up: windows 2 and 4 (one-sided) give 2, then 6 tokens on each side. Global tokens, where
//   used,
//                          carry anything anywhere within two layers and are not counted; nor is the circle that joins the first
//                          chunk of a Reformer to the last.
//   BigBird                one layer: three blocks, the first and the last; two layers: everything, through those two
//   LSH                    any token may fall into the same bucket: everything, though each query sees few (KeysSeen)
std::vector<Reach> ReceptiveField(const ModelInfo& info);

// Keys that one query in the middle of a long text scores in one layer, at most; -1 = every token
// of its text. Global tokens and repetitions are not counted; LSH counts its rounds.
int64_t KeysSeen(const LayerAttention& layer, const ModelInfo& info);

// Bytes of a full position table beyond the two axial factors; 0 for models without axial
// positions.
// `config` is config.json of the folder.
int64_t AxialBytesSaved(const nlohmann::json& config);

// Loads the model (dtype: see ResolveDataType) and, where `measure` is set, runs its warm-up, which
// calibrates the cost model that predicts the speed here. Keys of the result: see tests/core/tools.
// "lengths" has the model's longest text, where it is below the others, and 4K, 64K, 512K; those
// that the model does not take have "allowed": false and nothing more.
absl::StatusOr<nlohmann::json> InspectModel(const std::string& model_dir, const std::string& dtype,
                                            bool measure);

// The same for people: a few aligned lines.
std::string InspectionText(const nlohmann::json& inspection);

}  // namespace longspan
