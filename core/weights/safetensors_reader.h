// SafetensorsReader: strict reader of one .safetensors file, mapped into memory (read-only,
// shared).
//   file = [8 bytes: header length N, little-endian] [N bytes: JSON {name: {dtype, shape, data_offsets}}] [data]
// The file is input from strangers: overlaps, holes, overflow, duplicate names, a header over 100
// MB, deep nesting, a truncated file and wrong sizes are each a clear INVALID_ARGUMENT in bounded
// time and memory. Const methods are thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace longspan {

enum class StoredType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };
std::string_view StoredTypeName(StoredType type);  // as in the file: "F32", "BF16", ...
int64_t StoredTypeBytes(StoredType type);

// One tensor of the file; `data` points into the mapping and lives as long as the reader.
struct StoredTensor {
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
  int64_t num_elements() const;
};

class SafetensorsReader {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Open(const std::string& path);
  // Over bytes that the caller keeps alive (tests, fuzzing). `name` stands in for the path in
  // errors.
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Parse(std::span<const std::byte> file,
                                                                  const std::string& name);
  ~SafetensorsReader();

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }  // "__metadata__"

  // Tells the system that the tensor's bytes were read and their pages may go: without it a loaded
  // model counts twice in the resident set, once as pages of the file. The bytes stay readable.
  // Does nothing for a Parse'd file.
  void DropPages(const StoredTensor& tensor) const;

 private:
  SafetensorsReader() = default;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  void* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
};

// Writes a file that SafetensorsReader and the Hugging Face library read: the data section is
// 8-byte aligned and the widest types come first, so that each tensor is aligned to its own type.
// Appears under `path` only when whole.
absl::Status WriteSafetensors(const std::string& path,
                              const std::map<std::string, StoredTensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {});

}  // namespace longspan
