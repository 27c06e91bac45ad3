// BERT (arXiv 1810.04805), RoBERTa (arXiv 1907.11692) and XLM-RoBERTa: README.md of this folder.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/models/model.h"

namespace longspan {

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadBert(const ModelFolder& folder, DataType dtype);
absl::StatusOr<std::unique_ptr<EncoderModel>> LoadRoberta(const ModelFolder& folder,
                                                          DataType dtype);  // also XLM-R, CamemBERT

}  // namespace longspan
