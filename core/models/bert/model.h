// LoadBert, LoadRoberta: load a BERT (arXiv 1810.04805) or a RoBERTa (arXiv 1907.11692) and its
// relatives. Shapes and deviations: README.md of this folder. Errors are those of LoadModel
// (core/models/load_model.h).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBert(const ModelFolder& folder,
                                                       const Placement& placement);
// Also XLM-RoBERTa and CamemBERT.
absl::StatusOr<std::unique_ptr<EncoderModel>> LoadRoberta(const ModelFolder& folder,
                                                          const Placement& placement);

}  // namespace longspan
