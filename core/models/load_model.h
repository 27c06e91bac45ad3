// LoadModel: what every architecture's loader does around its own part. It reads and checks
// config.json, opens the weight files under the rules of the architecture's checkpoints, lets the
// architecture build its model, and then sees that every weight of the files was used.
//
//   return LoadModel<ModernBertConfig>(
//       folder, ParseModernBertConfig, {.prefixes = {"model."}, .ignored = {"head.*"}},
//       [&](const ModernBertConfig& config, WeightMap& weights) {
//         return std::make_unique<ModernBert>(weights, config, placement);
//       });
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "core/weights/weight_map.h"
#include "nlohmann/json.hpp"

namespace longspan {

// Layers of the weights behind those that the config asks for are not read, as in the published
// library. Fewer of them than it asks for are INVALID_ARGUMENT: the library would go on with random
// ones.
template <typename Config>
absl::Status LimitLayers(const Config& config, const std::string& config_path, WeightMap& weights) {
  const int64_t wanted = config.LayersThatRun(), held = weights.num_layers();
  weights.IgnoreLayersFrom(wanted);
  if (held == 0 || wanted <= held) return absl::OkStatus();  // none at all: another architecture
  return absl::InvalidArgumentError(
      absl::StrCat(config_path, ": \"", config.num_layers_key, "\" asks for ", wanted,
                   " layers; allowed: at most ", held, ", which the weights hold"));
}

// parse(json, path) -> absl::StatusOr<Config>; the path of config.json stands in its errors.
// build(config, weights) -> std::unique_ptr of the model. A weight that build does not find is
// recorded in the map. The model is then thrown away, and the error is returned.
template <typename Config, typename Parse, typename Build>
absl::StatusOr<std::unique_ptr<EncoderModel>> LoadModel(const ModelFolder& folder,
                                                        const Parse& parse,
                                                        const WeightMap::Rules& rules,
                                                        const Build& build) {
  const std::string path = folder.transformer_path() + "/config.json";
  const absl::StatusOr<Config> config = parse(folder.config(), path);
  if (!config.ok()) return config.status();
  WeightMap::Rules of_folder = rules;
  if (IsStanfordColbert(folder.config())) of_folder.ignored.push_back("linear.weight");
  absl::StatusOr<WeightMap> weights = WeightMap::Open(folder.weight_files(), of_folder);
  if (!weights.ok()) return weights.status();
  if (absl::Status enough = LimitLayers(*config, path, *weights); !enough.ok()) return enough;
  std::unique_ptr<EncoderModel> model = build(*config, *weights);
  if (absl::Status complete = weights->Finish(); !complete.ok()) return complete;
  return model;
}

}  // namespace longspan
