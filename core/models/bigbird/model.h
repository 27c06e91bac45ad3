// LoadBigBird: loads a BigBird (arXiv 2007.14062) for inference. Shapes and deviations: README.md
// of this folder. Errors are those of LoadModel (core/models/load_model.h).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBigBird(const ModelFolder& folder,
                                                          const Placement& placement);

}  // namespace longspan
