// Any bytes as a .safetensors file: it is refused, or it is read and every promise of
// SafetensorsReader holds. The target aborts where a promise is broken.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "core/weights/float_conversion.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckTensor(const StoredTensor& tensor, std::span<const std::byte> file) {
  int64_t elements = 1;
  for (const int64_t size : tensor.shape) elements *= size;
  Require(elements == tensor.num_elements());
  Require(elements * StoredTypeBytes(tensor.type) == static_cast<int64_t>(tensor.data.size()));
  Require(tensor.data.empty() ||
          (tensor.data.data() >= file.data() &&
           tensor.data.data() + tensor.data.size() <= file.data() + file.size()));
  if (!IsFloatingPoint(tensor.type)) return;
  std::vector<float> values(static_cast<size_t>(elements));
  ConvertToFloat32(tensor.type, tensor.data, values.data());
}

void CheckFile(std::span<const std::byte> file) {
  const auto reader = SafetensorsReader::Parse(file, "fuzz");
  if (!reader.ok()) {
    Require(reader.status().message().size() < 2000 &&
            reader.status().message().find('\n') == absl::string_view::npos);
    return;
  }
  size_t bytes = 0;
  for (const auto& [name, tensor] : (*reader)->tensors()) {
    CheckTensor(tensor, file);
    bytes += tensor.data.size();
  }
  Require(bytes <= file.size() - 8);  // the tensors tile the data: no byte belongs to two
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::CheckFile(std::as_bytes(std::span(bytes, size)));
  return 0;
}
