// GrowingFile: a file that is appended to, and can be cut back to where it stood.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace longspan {

class GrowingFile {
 public:
  // Opens the file, or makes it, and cuts it to `size` bytes. DATA_LOSS where it has fewer.
  static absl::StatusOr<std::unique_ptr<GrowingFile>> Open(const std::string& path, uint64_t size);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  // Errors are kept: Sync returns the first one.
  void Append(std::string_view bytes);
  // Bytes at the front of the file are replaced by others, as many as they are.
  void Overwrite(std::string_view bytes);
  // All that was appended stands on the disk.
  absl::Status Sync();
  uint64_t size() const { return size_; }  // with what was appended and is not written yet

 private:
  GrowingFile(std::string path, int file, uint64_t size)
      : path_(std::move(path)), file_(file), size_(size) {}
  void Flush();
  void WriteAt(std::string_view bytes, uint64_t offset);

  const std::string path_;
  const int file_;
  uint64_t size_;
  std::string buffer_;  // the last bytes of the file, not written yet
  absl::Status error_;
};

}  // namespace longspan
