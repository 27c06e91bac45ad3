#include "core/checkpoint/bounded_file.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace longspan {

absl::StatusOr<std::string> ReadBoundedFile(const std::string& path, int64_t most_bytes) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::not_found)
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  if (type != std::filesystem::file_type::regular)
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not a regular file"));
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error || bytes > most_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", bytes, " bytes; at most ", most_bytes, " are read"));
  }
  std::string text(static_cast<size_t>(bytes), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), bytes))
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  return text;
}

}  // namespace longspan
