#include "server/collections/file_calls.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// Some file systems refuse larger ones.
constexpr size_t kMostBytesAtOnce = size_t{1} << 30;

template <typename Call>
auto Retried(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status SystemError(std::string_view what, int error) {
  const std::string text = absl::StrCat(absl::string_view(what.data(), what.size()), ": ",
                                        std::generic_category().message(error));
  // EFBIG: the limit of the process, or of the file system, to the size of a file.
  const bool is_full = error == ENOSPC || error == EDQUOT || error == EFBIG || error == EMFILE ||
                       error == ENFILE || error == ENOMEM;
  return is_full ? absl::ResourceExhaustedError(text) : absl::InternalError(text);
}

absl::Status OfFile(const std::string& path, const absl::Status& status) {
  return {status.code(), absl::StrCat(path, ": ", status.message())};
}

absl::Status WriteAll(int file, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = Retried([&] {
      return pwrite(file, bytes.data(), std::min(bytes.size(), kMostBytesAtOnce),
                    static_cast<off_t>(offset));
    });
    if (count < 0) return SystemError("cannot be written to", errno);
    if (count == 0) return SystemError("cannot be written to", EIO);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

absl::Status ReadAll(int file, uint64_t offset, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = Retried([&] {
      return pread(file, bytes.data(), std::min(bytes.size(), kMostBytesAtOnce),
                   static_cast<off_t>(offset));
    });
    if (count < 0) return SystemError("cannot be read", errno);
    if (count == 0) return absl::DataLossError("cannot be read: it was cut meanwhile");
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

absl::Status Truncate(int file, uint64_t num_bytes) {
  if (Retried([&] { return ftruncate(file, static_cast<off_t>(num_bytes)); }) == 0)
    return absl::OkStatus();
  return SystemError("cannot be cut", errno);
}

absl::Status SyncFile(int file) {
  if (Retried([&] { return fdatasync(file); }) == 0) return absl::OkStatus();
  return SystemError("cannot be brought to the disk", errno);
}

absl::Status SyncFolder(const std::string& folder) {
  const OpenFile opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.is_open() && Retried([&] { return fsync(opened.get()); }) == 0)
    return absl::OkStatus();
  return SystemError("its folder cannot be brought to the disk", errno);
}

absl::StatusOr<uint64_t> NumBytesOf(int file) {
  struct stat found = {};
  if (fstat(file, &found) != 0) return SystemError("cannot be read", errno);
  if (!S_ISREG(found.st_mode)) return absl::FailedPreconditionError("is not a regular file");
  return static_cast<uint64_t>(found.st_size);
}

absl::StatusOr<FileIdentity> IdentityOf(int file) {
  struct stat found = {};
  if (fstat(file, &found) != 0) return SystemError("cannot be read", errno);
  return FileIdentity{.device = found.st_dev, .inode = found.st_ino};
}

absl::Status Lock(int file) {
  if (Retried([&] { return flock(file, LOCK_EX | LOCK_NB); }) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return SystemError("cannot be locked", errno);
  return absl::FailedPreconditionError(
      "is in use by another process; allowed: one server at a time");
}

absl::StatusOr<LockedFile> LockedFile::Lock(OpenFile file) {
  if (absl::Status status = longspan::Lock(file.get()); !status.ok()) return status;
  return LockedFile(std::move(file));
}

LockedFile::~LockedFile() {
  if (file_.is_open()) flock(file_.get(), LOCK_UN);
}

}  // namespace longspan
