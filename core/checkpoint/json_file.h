// ReadJsonFile: one of a checkpoint's small JSON files (config.json, modules.json, ...), read
// within bounds, since checkpoints come from strangers, and as Python reads it (python_json.h).
// Thread safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longspan {

// NOT_FOUND: no such file. INVALID_ARGUMENT: not a regular file, larger than 16 MiB, nested deeper
// than 64 levels, or not JSON. The message is one line that names the file, and for bad JSON the
// byte.
absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path);

}  // namespace longspan
