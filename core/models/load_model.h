// LoadModel: what every architecture's loader does around its own part: config.json read and
// checked, the weight files opened under the rules of the architecture's checkpoints, and once the
// model is built every weight of the file accounted for.
//
//   return LoadModel<LedConfig>(folder, ParseLedConfig, {.prefixes = {"led."}, .ignored = {"lm_head.*"}},
//                               [&](const LedConfig& config, WeightMap& weights) { return std::make_unique<Led>(...); });
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

// parse(config.json, its path for errors) -> StatusOr<Config>;  build(config, weights) -> the model, as a unique_ptr. A weight
// that build misses is recorded in the map; the model is then thrown away and the error returned.
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
