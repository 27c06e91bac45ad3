// Longformer (arXiv 2004.05150): README.md of this folder.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadLongformer(const ModelFolder& folder,
                                                             DataType dtype);

}  // namespace longspan
