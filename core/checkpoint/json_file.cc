#include "core/checkpoint/json_file.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/bounded_file.h"
#include "core/checkpoint/python_json.h"

namespace longspan {
namespace {

constexpr int64_t kMaxFileBytes = 16 << 20;  // far above any published file

}  // namespace

absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadBoundedFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  absl::StatusOr<nlohmann::json> value = ParsePythonJson(*text);
  if (value.ok()) return value;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", value.status().message()));
}

}  // namespace longspan
