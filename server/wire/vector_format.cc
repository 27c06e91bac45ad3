#include "server/wire/vector_format.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace longspan {
namespace {

void AppendLittleEndian(uint16_t value, std::string* out) {
  out->push_back(static_cast<char>(value & 0xff));
  out->push_back(static_cast<char>(value >> 8));
}

void AppendInt8(std::span<const float> values, std::string* out, float* scale) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  *scale = largest > 0 ? largest / 127.0f : 1.0f;
  for (const float value : values) {
    const float rounded = std::nearbyint(value / *scale);
    out->push_back(static_cast<char>(static_cast<int8_t>(std::clamp(rounded, -127.0f, 127.0f))));
  }
}

void AppendBits(std::span<const float> values, std::string* out) {
  for (size_t begin = 0; begin < values.size(); begin += 8) {
    uint8_t byte = 0;
    for (size_t i = begin; i < std::min(begin + 8, values.size()); ++i) {
      if (values[i] > 0) byte |= static_cast<uint8_t>(0x80 >> (i - begin));
    }
    out->push_back(static_cast<char>(byte));
  }
}

}  // namespace

int64_t PackedBytes(VectorFormat format, int64_t dimensions) {
  switch (format) {
    case VectorFormat::kFloat32:
      return 4 * dimensions;
    case VectorFormat::kFloat16:
    case VectorFormat::kBFloat16:
      return 2 * dimensions;
    case VectorFormat::kInt8:
      return dimensions;
    case VectorFormat::kBinary:
      return (dimensions + 7) / 8;
  }
  return 4 * dimensions;
}

uint16_t ToBFloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  // A NaN whose payload is cut off would become infinity: one bit of the payload is set.
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

uint16_t ToFloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;   // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds beyond 65504
  if (magnitude < 0x38800000) {                       // below 2^-14: a multiple of 2^-24
    return sign |
           static_cast<uint16_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 16777216.0f));
  }
  const uint32_t rebased = magnitude - 0x38000000;  // exponent bias 127 -> 15
  return sign | static_cast<uint16_t>((rebased + 0xfff + ((rebased >> 13) & 1)) >> 13);
}

void AppendPacked(std::span<const float> values, VectorFormat format, std::string* out,
                  float* scale) {
  *scale = 0;
  switch (format) {
    case VectorFormat::kFloat32:
      break;  // these travel as numbers, not as bytes
    case VectorFormat::kFloat16:
      for (const float value : values) AppendLittleEndian(ToFloat16(value), out);
      break;
    case VectorFormat::kBFloat16:
      for (const float value : values) AppendLittleEndian(ToBFloat16(value), out);
      break;
    case VectorFormat::kInt8:
      AppendInt8(values, out, scale);
      break;
    case VectorFormat::kBinary:
      AppendBits(values, out);
      break;
  }
}

}  // namespace longspan
