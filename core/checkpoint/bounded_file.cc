#include "core/checkpoint/bounded_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

absl::Status Bad(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

}  // namespace

absl::StatusOr<bool> HasFile(const std::string& path) {
  std::error_code error;
  const fs::file_type entry = fs::symlink_status(path, error).type();
  if (entry == fs::file_type::not_found) return false;
  const fs::file_type type = fs::status(path, error).type();
  if (type == fs::file_type::regular) return true;
  if (type == fs::file_type::not_found) {
    return Bad(path, absl::StrCat("is a link to ", fs::read_symlink(path, error).string(),
                                  ", which does not exist; fetch the checkpoint again"));
  }
  if (type == fs::file_type::none) return Bad(path, "cannot be read: " + error.message());
  return Bad(path, "is not a regular file");
}

absl::StatusOr<std::string> ReadBoundedFile(const std::string& path, int64_t most_bytes) {
  const absl::StatusOr<bool> there = HasFile(path);
  if (!there.ok()) return there.status();
  if (!*there) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  std::error_code error;
  const auto bytes = static_cast<int64_t>(fs::file_size(path, error));
  if (error || bytes > most_bytes)
    return Bad(path, absl::StrCat("has ", bytes, " bytes; at most ", most_bytes, " are read"));
  const fs::file_time_type changed = fs::last_write_time(path, error);
  std::string text(static_cast<size_t>(bytes), '\0');
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), bytes)) {
    return Bad(path, absl::StrCat("cannot be read: ",
                                  errno != 0 ? std::strerror(errno) : "it was cut meanwhile"));
  }
  if (file.peek() != std::ifstream::traits_type::eof() ||
      fs::last_write_time(path, error) != changed)
    return Bad(path, "was written to while it was read");
  if (absl::string_view(text).substr(0, 40) == "version https://git-lfs.github.com/spec/")
    return Bad(path, "is a pointer of Git LFS, not the file itself; fetch it with git lfs pull");
  return text;
}

}  // namespace longspan
