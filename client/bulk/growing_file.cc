#include "client/bulk/growing_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr mode_t kFileMode = 0644;

absl::Status Unwritten(const std::string& path) {
  return absl::DataLossError(
      absl::StrCat(path, " cannot be written: ", std::generic_category().message(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrowingFile>> GrowingFile::Open(const std::string& path,
                                                               uint64_t size) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (file < 0) return Unwritten(path);
  auto opened = std::unique_ptr<GrowingFile>(new GrowingFile(path, file, size));
  struct stat what = {};
  if (fstat(file, &what) != 0) return Unwritten(path);
  if (static_cast<uint64_t>(what.st_size) < size)
    return absl::DataLossError(absl::StrCat(path, " has ", what.st_size,
                                            " bytes; the checkpoint "
                                            "says ",
                                            size, ": it was changed by others"));
  if (ftruncate(file, static_cast<off_t>(size)) != 0) return Unwritten(path);
  return opened;
}

GrowingFile::~GrowingFile() { close(file_); }

void GrowingFile::Append(std::string_view bytes) {
  buffer_.append(bytes);
  size_ += bytes.size();
  if (buffer_.size() >= kBufferBytes) Flush();
}

void GrowingFile::Flush() {
  WriteAt(buffer_, size_ - buffer_.size());
  buffer_.clear();
}

void GrowingFile::Overwrite(std::string_view bytes) {
  Flush();
  WriteAt(bytes, 0);
}

void GrowingFile::WriteAt(std::string_view bytes, uint64_t offset) {
  while (error_.ok() && !bytes.empty()) {
    const ssize_t written = pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      error_ = Unwritten(path_);
      return;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

absl::Status GrowingFile::Sync() {
  Flush();
  if (error_.ok() && fdatasync(file_) != 0) error_ = Unwritten(path_);
  return error_;
}

}  // namespace longspan
