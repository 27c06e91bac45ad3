#include "core/weights/safetensors_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/weights/one_line.h"
#include "core/weights/safetensors_header.h"

namespace longspan {
namespace {

constexpr size_t kLengthBytes = 8;  // of the header's length, which stands in front of it

absl::Status AtFile(const std::string& name, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", OneLine(what)));
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) absl::StrAppend(&text, text.size() > 1 ? ", " : "", size);
  return text + "]";
}

// The bytes that a tensor of this shape and type has; nullopt where there are more than 2^62.
std::optional<uint64_t> ShapeBytes(const HeaderTensor& tensor) {
  auto bytes = static_cast<uint64_t>(StoredTypeBytes(tensor.type));
  for (const int64_t size : tensor.shape) {
    const bool overflows = __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes);
    if (overflows || bytes > uint64_t{1} << 62) return std::nullopt;
  }
  return bytes;
}

// Checks that a tensor's bytes lie in the data and are as many as its shape needs. A header may
// hold 65,536 tensors, so texts are made for errors only.
absl::Status CheckSize(const HeaderTensor& tensor, uint64_t data_bytes) {
  const auto bad = [&](const auto&... what) {
    return absl::InvalidArgumentError(
        absl::StrCat("data_offsets [", tensor.begin, ", ", tensor.end, "] ", what...));
  };
  if (tensor.begin > tensor.end) return bad("run backwards");
  if (tensor.end > data_bytes) {
    return bad("leave the data, which has ", data_bytes,
               " bytes: the file is truncated or damaged");
  }
  const uint64_t held = tensor.end - tensor.begin;
  const std::optional<uint64_t> bytes = ShapeBytes(tensor);
  if (bytes == held) return absl::OkStatus();
  const std::string shape =
      absl::StrCat("shape ", ShapeText(tensor.shape), " of ", StoredTypeName(tensor.type).data());
  if (!bytes.has_value()) return bad("hold ", held, " bytes, ", shape, " overflows");
  return bad("hold ", held, " bytes, ", shape, " needs ", *bytes);
}

// Checks that the tensors tile the data section: in the order of their place, each begins where the
// one before it ends.
absl::Status CheckTiling(const std::vector<HeaderTensor>& tensors, uint64_t data_bytes) {
  std::vector<const HeaderTensor*> order;
  order.reserve(tensors.size());
  for (const HeaderTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t end = 0;
  const HeaderTensor* before = nullptr;
  for (const HeaderTensor* tensor : order) {
    if (tensor->begin < end) {
      return absl::InvalidArgumentError(absl::StrCat("tensors \"", before->name, "\" and \"",
                                                     tensor->name, "\" overlap at byte ",
                                                     tensor->begin));
    }
    if (tensor->begin > end) {
      return absl::InvalidArgumentError(absl::StrCat("bytes ", end, " to ", tensor->begin,
                                                     " of the data, in front of tensor \"",
                                                     tensor->name, "\", belong to no tensor"));
    }
    end = tensor->end;
    before = tensor;
  }
  if (end != data_bytes)
    return absl::InvalidArgumentError(
        absl::StrCat("the last ", data_bytes - end, " bytes of the data belong to no tensor"));
  return absl::OkStatus();
}

// Whether this is what a repository holds in place of a large file that was not fetched.
bool IsLfsPointer(std::span<const std::byte> file) {
  constexpr std::string_view kFirstLine = "version https://git-lfs.github.com/spec/";
  return file.size() >= kFirstLine.size() &&
         std::memcmp(file.data(), kFirstLine.data(), kFirstLine.size()) == 0;
}

// The text of the header; the eight bytes in front of it are checked before.
absl::StatusOr<std::string_view> HeaderText(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a safetensors file has at least 8 bytes, this one has ", file.size()));
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (IsLfsPointer(file)) {
    return absl::InvalidArgumentError(
        "is a pointer of Git LFS, not the weights themselves; fetch them with git lfs pull");
  }
  if (length > kHeaderLimits.header_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("header of ", length, " bytes; at most ", kHeaderLimits.header_bytes,
                     " are allowed: not a safetensors file, or damaged"));
  }
  if (length > file.size() - kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat("header of ", length, " bytes in a file of ",
                                                   file.size(),
                                                   " bytes: the file is truncated or damaged"));
  }
  return std::string_view(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
}

}  // namespace

std::string_view StoredTypeName(StoredType type) {
  switch (type) {
    case StoredType::kF64:
      return "F64";
    case StoredType::kF32:
      return "F32";
    case StoredType::kF16:
      return "F16";
    case StoredType::kBF16:
      return "BF16";
    case StoredType::kI64:
      return "I64";
    case StoredType::kI32:
      return "I32";
    case StoredType::kI16:
      return "I16";
    case StoredType::kI8:
      return "I8";
    case StoredType::kU8:
      return "U8";
    case StoredType::kBool:
      return "BOOL";
  }
  return "unknown";
}

int64_t StoredTypeBytes(StoredType type) {
  switch (type) {
    case StoredType::kF64:
    case StoredType::kI64:
      return 8;
    case StoredType::kF32:
    case StoredType::kI32:
      return 4;
    case StoredType::kF16:
    case StoredType::kBF16:
    case StoredType::kI16:
      return 2;
    case StoredType::kI8:
    case StoredType::kU8:
    case StoredType::kBool:
      return 1;
  }
  return 0;
}

int64_t StoredTensor::num_elements() const {
  return static_cast<int64_t>(data.size()) / StoredTypeBytes(type);
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Parse(
    std::span<const std::byte> file, const std::string& name) {
  const absl::StatusOr<std::string_view> text = HeaderText(file);
  if (!text.ok()) return AtFile(name, std::string(text.status().message()));
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(*text);
  if (!header.ok()) return AtFile(name, std::string(header.status().message()));

  const std::span<const std::byte> data = file.subspan(kLengthBytes + text->size());
  for (const HeaderTensor& tensor : header->tensors) {
    const absl::Status status = CheckSize(tensor, data.size());
    if (!status.ok())
      return AtFile(name, absl::StrCat("tensor \"", tensor.name, "\": ", status.message()));
  }
  const absl::Status tiling = CheckTiling(header->tensors, data.size());
  if (!tiling.ok()) return AtFile(name, std::string(tiling.message()));

  auto reader = std::unique_ptr<SafetensorsReader>(new SafetensorsReader());
  reader->metadata_ = std::move(header->metadata);
  for (HeaderTensor& tensor : header->tensors) {
    StoredTensor stored{tensor.type, std::move(tensor.shape),
                        data.subspan(tensor.begin, tensor.end - tensor.begin)};
    const auto [place, inserted] =
        reader->tensors_.emplace(std::move(tensor.name), std::move(stored));
    if (!inserted)
      return AtFile(name, absl::StrCat("tensor \"", place->first, "\" stands twice in the header"));
  }
  return reader;
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Open(
    const std::string& path) {
  absl::StatusOr<std::unique_ptr<MappedFile>> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::unique_ptr<SafetensorsReader>> reader = Parse((*file)->bytes(), path);
  // What was read of a file that changes meanwhile need not make sense: the change is the cause.
  if (absl::Status status = (*file)->CheckUnchanged(); !status.ok()) return status;
  if (reader.ok()) (*reader)->file_ = *std::move(file);
  return reader;
}

SafetensorsReader::~SafetensorsReader() = default;

absl::Status SafetensorsReader::CheckUnchanged() const {
  return file_ == nullptr ? absl::OkStatus() : file_->CheckUnchanged();
}

void SafetensorsReader::DropPages(const StoredTensor& tensor) const {
  if (file_ == nullptr || tensor.data.empty()) return;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const std::byte* const mapping = file_->bytes().data();
  const auto offset = static_cast<size_t>(tensor.data.data() - mapping);
  // The first page may hold bytes of another tensor; where they are needed, they are read again.
  const size_t first = offset / page * page;
  madvise(const_cast<std::byte*>(mapping) + first, offset + tensor.data.size() - first,
          MADV_DONTNEED);
}

}  // namespace longspan
