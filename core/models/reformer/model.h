// Loads a Reformer encoder (README.md of this folder: the method, shapes, deviations).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/checkpoint/model_folder.h"
#include "core/model_info.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadReformer(const ModelFolder& folder,
                                                           DataType dtype);

}  // namespace longspan
