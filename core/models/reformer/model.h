// LoadReformer: loads a Reformer encoder (arXiv 2001.04451). The method, shapes and deviations:
// README.md of this folder. Errors are those of LoadModel (core/models/load_model.h).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/checkpoint/model_folder.h"
#include "core/model_info.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadReformer(const ModelFolder& folder,
                                                           const Placement& placement);

}  // namespace longspan
