#include "core/weights/float_conversion.h"

#include <bit>
#include <cstring>

namespace longspan {
namespace {

float FromBFloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Moves exponent and fraction to their places in a float32 and then corrects the exponent by a
// multiplication with 2^112: the bias of the exponent is 15 in F16 and 127 in float32. The product
// is exact and turns subnormal numbers into normal ones. Infinities and NaNs get the largest
// exponent.
float FromFloat16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7FFF) << 13;
  const float scaled =
      std::bit_cast<float>(magnitude) * std::bit_cast<float>(uint32_t{(127 + 112) << 23});
  const uint32_t value =
      (bits & 0x7C00) == 0x7C00 ? magnitude | 0x7F800000 : std::bit_cast<uint32_t>(scaled);
  return std::bit_cast<float>(value | sign);
}

template <typename Stored, typename Convert>
void ConvertEach(std::span<const std::byte> stored, const Convert& convert, float* out) {
  const size_t n = stored.size() / sizeof(Stored);
  for (size_t i = 0; i < n; ++i) {
    Stored value;
    std::memcpy(&value, stored.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(value);
  }
}

}  // namespace

bool IsFloatingPoint(StoredType type) {
  return type == StoredType::kF64 || type == StoredType::kF32 || type == StoredType::kF16 ||
         type == StoredType::kBF16;
}

void ConvertToFloat32(StoredType type, std::span<const std::byte> stored, float* out) {
  switch (type) {
    case StoredType::kF32:
      if (!stored.empty()) std::memcpy(out, stored.data(), stored.size());
      return;
    case StoredType::kF64:
      return ConvertEach<double>(
          stored, [](double value) { return static_cast<float>(value); }, out);
    case StoredType::kF16:
      return ConvertEach<uint16_t>(stored, FromFloat16, out);
    case StoredType::kBF16:
      return ConvertEach<uint16_t>(stored, FromBFloat16, out);
    default:
      return;
  }
}

}  // namespace longspan
