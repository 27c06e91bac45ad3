// The functions of core/cuda/kernels/storage.cuh that CUDA C++ has no plain code for, on the
// emulated device.
#pragma once

#include "tests/core/cuda/kernels/cuda_emulation.h"

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __half {
  uint16_t bits;
};

namespace longspan::cuda {

inline float FloatOfBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
inline float LowBfloat16(uint32_t pair) { return FloatOfBits(pair << 16); }
inline float HighBfloat16(uint32_t pair) { return LowBfloat16(pair >> 16); }

// Rounded to the nearest, and to even between two.
inline uint16_t ToBfloat16(float x) {
  if (x != x) return 0x7fff;
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline uint16_t ToFloat16(float x) {
  const auto half = static_cast<_Float16>(x);
  uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}
inline float FromFloat16(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}

template <typename T>
uint32_t PackPair(float low, float high) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return ToBfloat16(low) | static_cast<uint32_t>(ToBfloat16(high)) << 16;
  } else {
    static_assert(std::is_same_v<T, __half>);
    return ToFloat16(low) | static_cast<uint32_t>(ToFloat16(high)) << 16;
  }
}
template <typename T>
float2 UnpackPair(uint32_t pair) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return float2{LowBfloat16(pair), HighBfloat16(pair)};
  } else {
    static_assert(std::is_same_v<T, __half>);
    return float2{FromFloat16(static_cast<uint16_t>(pair)),
                  FromFloat16(static_cast<uint16_t>(pair >> 16))};
  }
}

inline uint4 LoadNow(const void* values, int64_t index) {
  if (reinterpret_cast<uintptr_t>(values) % 16 != 0) emulation::Fail("a load is not aligned");
  return static_cast<const uint4*>(values)[index];
}

}  // namespace longspan::cuda
