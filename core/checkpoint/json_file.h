// ReadJsonFile: one of a checkpoint's small JSON files (config.json, modules.json, ...), read with
// bounds.
//   NOT_FOUND: no such file.  INVALID_ARGUMENT: not a regular file, over 16 MiB, nested deeper than 64, or not JSON; one line
//   that names the file, and for bad JSON the byte.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longspan {

absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path);

// The same over text in memory; `name` stands in for the path in errors.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const std::string& name);

}  // namespace longspan
