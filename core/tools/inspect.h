// InspectModel: what a model folder holds and what it will cost, as JSON for programs and as text
// for people: architecture, layers and how far each sees, parameters, the longest text, memory by
// length, memory saved by axial positions, predicted tokens/s. Proven by inspect_test.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "nlohmann/json.hpp"

namespace longspan {

// How far away the tokens can lie that a token's vector depends on, after some layers, in the
// middle of a long text. -1 = every token of its text.
struct Reach {
  int64_t before = 0;  // tokens to the left
  int64_t after = 0;   // tokens to the right
  bool ends = false;   // and the first and the last block of the text (BigBird)
};

// Reach after each layer, [layers].
//   window, local chunks   The widths add up: one-sided windows of 2 and 4 give 2 and then 6 tokens
//                          on each side. Two things are not counted: global tokens, which carry
//                          anything anywhere within two layers, and the circle that joins the first
//                          chunk of a Reformer to the last.
//   BigBird                One layer reaches three blocks, the first and the last. Two layers reach
//                          everything, through those two.
//   LSH                    Any token may fall into the same bucket, so a layer reaches everything,
//                          though each query sees few keys (KeysSeen).
std::vector<Reach> ReceptiveField(const ModelInfo& info);

// The most keys that one query in the middle of a long text scores in one layer. -1 = every token
// of its text. Global tokens are not counted, and neither is that a key may count several times.
// LSH counts the keys of all its rounds.
int64_t KeysSeen(const LayerAttention& layer, const ModelInfo& info);

// Bytes of a full position table less those of the axial factors; 0 for models without axial
// positions. `config` is the folder's config.json.
int64_t AxialBytesSaved(const nlohmann::json& config);

// Loads the model; `dtype` is as in ResolveDataType, `device` as in OpenBackend. With `measure` it
// runs the model's warm-up, which calibrates the cost model there, and predicts the speed.
// inspect_test shows the keys of the result. "lengths" has 4K, 64K and 512K tokens, and the model's
// longest text where that is below them. Lengths that the model does not take have "allowed": false
// and nothing more.
absl::StatusOr<nlohmann::json> InspectModel(const std::string& model_dir, const std::string& dtype,
                                            bool measure, const std::string& device = "cpu");

// The same as aligned lines of text.
std::string InspectionText(const nlohmann::json& inspection);

}  // namespace longspan
