// What the files of collections need of the system, as statuses: RESOURCE_EXHAUSTED where the disk
// or a quota is full, INTERNAL for any other failure. The text says what failed, not for which
// file: callers put that in front.
//
// Free functions without state: thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace longspan {

// Closes its file descriptor. Move only.
class OpenFile {
 public:
  OpenFile() = default;
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  OpenFile(OpenFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~OpenFile();

  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// "WHAT: No space left on device", with the code that belongs to the error number.
absl::Status SystemError(std::string_view what, int error);
// The same code and details, with the file in front of the text.
absl::Status OfFile(const std::string& path, const absl::Status& status);

// All bytes, or an error.
absl::Status WriteAll(int file, std::span<const std::byte> bytes, uint64_t offset);
absl::Status ReadAll(int file, uint64_t offset, std::span<std::byte> bytes);
absl::Status Truncate(int file, uint64_t num_bytes);
// What was written is on the disk, with as much of what is told about the file as is needed to find
// it again.
absl::Status SyncFile(int file);
// The names in a folder are on the disk.
absl::Status SyncFolder(const std::string& folder);
absl::StatusOr<uint64_t> NumBytesOf(int file);

// Which file it is, whatever it is called.
struct FileIdentity {
  uint64_t device = 0, inode = 0;
  bool operator==(const FileIdentity&) const = default;
};
absl::StatusOr<FileIdentity> IdentityOf(int file);

// FAILED_PRECONDITION where another process, or another OpenFile, has the lock. It ends with the
// last descriptor and the last map of the file, so a process that is killed leaves none behind.
absl::Status Lock(int file);

// A file that is locked for as long as this lives, whatever is mapped. Move only.
class LockedFile {
 public:
  static absl::StatusOr<LockedFile> Lock(OpenFile file);
  LockedFile(LockedFile&&) noexcept = default;
  LockedFile& operator=(LockedFile&&) = delete;
  ~LockedFile();

  int get() const { return file_.get(); }

 private:
  explicit LockedFile(OpenFile file) : file_(std::move(file)) {}

  OpenFile file_;
};

}  // namespace longspan
