// ModernBERT (arXiv 2412.13663): README.md of this folder.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadModernBert(const ModelFolder& folder,
                                                             DataType dtype);

}  // namespace longspan
