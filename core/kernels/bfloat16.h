// bfloat16 as two bytes, and its conversions, for kernels that know no torch. Internal linkage on
// purpose: files that include this are compiled for different instruction sets and must not share
// one copy.
#pragma once

#include <cstdint>
#include <cstring>

namespace longspan::kernels {

struct BFloat16 {
  uint16_t bits;
};

static inline float ToFloat(float value) { return value; }
static inline float ToFloat(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

static inline void FromFloat(float value, float* out) { *out = value; }
// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
static inline void FromFloat(float value, BFloat16* out) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  out->bits =
      value == value ? static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) : 0x7fc0;
}

}  // namespace longspan::kernels
