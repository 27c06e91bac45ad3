// BigBird (arXiv 2007.14062) at inference: README.md of this folder.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBigBird(const ModelFolder& folder,
                                                          DataType dtype);

}  // namespace longspan
