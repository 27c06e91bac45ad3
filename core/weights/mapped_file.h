// MappedFile: a file's bytes, mapped into memory (read-only, shared).
//
// A file that is cut while it is mapped, or whose disk fails, raises SIGBUS in whoever reads the
// lost pages. Here such a page reads as zeros instead, and CheckUnchanged says what happened. It
// says so too where somebody has written to the file since it was opened: its bytes may then be a
// mixture of two checkpoints. Whoever has read the bytes asks it before using what came of them.
//
// Thread safety: const methods may be called from any thread. The first Open sets a handler of
// SIGBUS, which passes on what is not about a MappedFile. Proven by mapped_file_test.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace longspan {

class MappedFile {
 public:
  // NOT_FOUND: no such file. INVALID_ARGUMENT: it cannot be opened or mapped, or it is not a
  // regular file. RESOURCE_EXHAUSTED: more than 1,024 files at once. The message names the file.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Empty for an empty file.
  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(mapping_), num_bytes_};
  }

  // INVALID_ARGUMENT where the file is not what it was when it was opened.
  absl::Status CheckUnchanged() const;

 private:
  MappedFile() = default;

  std::string path_;
  int file_ = -1;
  struct stat opened_ = {};
  void* mapping_ = nullptr;
  size_t num_bytes_ = 0;
  int slot_ = -1;  // its place among the ranges that the handler of SIGBUS knows
};

}  // namespace longspan
