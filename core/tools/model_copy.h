// Copies the files around the weights of a model folder, for tools that make one folder out of
// another.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/model_folder.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"

namespace longspan {

// ALREADY_EXISTS unless `output` is absent or an empty folder.
absl::Status CheckIsNewFolder(const std::string& output);

// Copies all files but the transformer's weights and its config.json. Links are followed, hidden
// files are left out. Returns the folder where the transformer's files go: `output` itself, or the
// folder in it that modules.json names. INTERNAL names the file that cannot be copied and the
// reason. INVALID_ARGUMENT where the copy would hold itself without end: `output` lies in the
// model's folder, or a link in it leads to a folder above.
absl::StatusOr<std::filesystem::path> CopyAroundWeights(const ModelFolder& folder,
                                                        const std::string& output);

// WriteSafetensors of tensors that lie in the files of `readers`. Where one of those changed
// meanwhile, what was written is removed again, and the error names the file that changed.
absl::Status WriteWeights(const std::string& path,
                          const std::map<std::string, StoredTensor>& tensors,
                          const std::vector<std::unique_ptr<SafetensorsReader>>& readers);

// Writes `value` with an indentation of two. INTERNAL where the file cannot be written.
absl::Status WriteJsonFile(const std::filesystem::path& path, const nlohmann::json& value);

}  // namespace longspan
