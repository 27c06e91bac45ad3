// InputFile: the bytes of a file, or of standard input, decompressed where they are gzip or zstd.
// What a file is, its first bytes tell, never its name.
//
// Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace longspan {

class InputFile {
 public:
  // "-" is standard input: plain or gzip. NOT_FOUND where the file cannot be read.
  static absl::StatusOr<std::unique_ptr<InputFile>> Open(const std::string& path);
  virtual ~InputFile() = default;
  InputFile() = default;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // Reads at most `most` bytes into `to`, and returns how many; 0 at the end. DATA_LOSS where the
  // compressed data is damaged or ends in the middle.
  virtual absl::StatusOr<size_t> Read(char* to, size_t most) = 0;
  // Bytes of the file itself that were read, compressed ones where it is compressed.
  virtual uint64_t position() const = 0;
};

// How a message calls the file.
std::string NameOfInput(const std::string& path);

}  // namespace longspan
