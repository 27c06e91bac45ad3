// LoadModernBert: loads a ModernBERT (arXiv 2412.13663). Shapes and deviations: README.md of this
// folder. Errors are those of LoadModel (core/models/load_model.h).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadModernBert(const ModelFolder& folder,
                                                             const Placement& placement);

}  // namespace longspan
