// LoadModel: what every architecture's loader does around its own part. It reads and checks
// config.json, opens the weight files under the rules of the architecture's checkpoints, lets the
// architecture build its model, and then sees that every weight of the files was used.
//
//   return LoadModel<ModernBertConfig>(
//       folder, ParseModernBertConfig, {.prefixes = {"model."}, .ignored = {"head.*"}},
//       [&](const ModernBertConfig& config, WeightMap& weights) {
//         return std::make_unique<ModernBert>(weights, config, dtype);
//       });
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "core/weights/weight_map.h"
#include "nlohmann/json.hpp"

namespace longspan {

// parse(json, path) -> absl::StatusOr<Config>; the path of config.json stands in its errors.
// build(config, weights) -> std::unique_ptr of the model. A weight that build does not find is
// recorded in the map. The model is then thrown away, and the error is returned.
template <typename Config, typename Parse, typename Build>
absl::StatusOr<std::unique_ptr<EncoderModel>> LoadModel(const ModelFolder& folder,
                                                        const Parse& parse,
                                                        const WeightMap::Rules& rules,
                                                        const Build& build) {
  const absl::StatusOr<Config> config =
      parse(folder.config(), folder.transformer_path() + "/config.json");
  if (!config.ok()) return config.status();
  absl::StatusOr<WeightMap> weights = WeightMap::Open(folder.weight_files(), rules);
  if (!weights.ok()) return weights.status();
  std::unique_ptr<EncoderModel> model = build(*config, *weights);
  if (absl::Status complete = weights->Finish(); !complete.ok()) return complete;
  return model;
}

}  // namespace longspan
