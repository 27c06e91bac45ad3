// SafetensorsReader: a strict reader of one .safetensors file, which it maps into memory
// (read-only, shared).
//
//   8 bytes   N, the length of the header, little-endian
//   N bytes   the header, JSON: {name: {dtype, shape, data_offsets}, ...}
//   the rest  the data: the tensors' bytes, one behind the other
//
// The file is input from strangers. Overlaps, holes, overflow, duplicate names, a header of more
// than 100 MB, deep nesting, a truncated file and wrong sizes are each a clear INVALID_ARGUMENT, in
// bounded time and memory. Const methods are thread safe. Proven by safetensors_reader_test and
// tests/fuzz.
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
#include "core/weights/mapped_file.h"

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
  // NOT_FOUND: no such file. INVALID_ARGUMENT: it cannot be opened, or it is not a valid
  // safetensors file. The message is one line that names the file.
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Open(const std::string& path);
  // The same over bytes that the caller keeps alive (tests, fuzzing). `name` is the file's name in
  // errors.
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Parse(std::span<const std::byte> file,
                                                                  const std::string& name);
  ~SafetensorsReader();

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  // What "__metadata__" holds.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // Tells the system that the tensor's bytes were read and that their pages may go. Without it a
  // loaded model counts twice in the resident set, once as pages of the file. The bytes stay
  // readable. It does nothing for a file from Parse.
  void DropPages(const StoredTensor& tensor) const;

  // INVALID_ARGUMENT where the file was cut or written to since Open: the tensors' bytes may then
  // be zeros, or of two checkpoints. Whoever has read them asks before using what came of them. OK
  // for a file from Parse.
  absl::Status CheckUnchanged() const;

 private:
  SafetensorsReader() = default;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::unique_ptr<MappedFile> file_;  // null for bytes from Parse
};

// Writes a file that SafetensorsReader and the Hugging Face library read. The data section is
// aligned to 8 bytes and the widest types come first, so that each tensor is aligned to its own
// type. The file appears under `path` only when it is whole. INVALID_ARGUMENT: a tensor whose bytes
// do not fit its shape, or a name that is not allowed; INTERNAL: the file cannot be written.
absl::Status WriteSafetensors(const std::string& path,
                              const std::map<std::string, StoredTensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {});

}  // namespace longspan
