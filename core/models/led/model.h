// LED's encoder: Longformer's attention inside BART (arXiv 2004.05150, sec. 7): README.md of this
// folder.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadLed(const ModelFolder& folder, DataType dtype);

}  // namespace longspan
