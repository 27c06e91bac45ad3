// LoadLed: loads the encoder of an LED, Longformer's attention inside BART (arXiv 2004.05150, sec.
// 7). Shapes and deviations: README.md of this folder. Errors are those of LoadModel
// (core/models/load_model.h).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadLed(const ModelFolder& folder,
                                                      const Placement& placement);

}  // namespace longspan
