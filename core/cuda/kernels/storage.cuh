// Reading and writing bfloat16 and float16 by 16 bytes. Tests have their own forms of what CUDA C++
// has no plain code for (tests/core/cuda/kernels/emulated_storage.h).
#pragma once

#ifndef LONGSPAN_CUDA_EMULATION
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <cstdint>
#include <type_traits>

#include "core/cuda/kernels/host_device.h"

namespace longspan::cuda {

#ifndef LONGSPAN_CUDA_EMULATION

// Two floats as a pair of T, the first in the low half.
template <typename T>
__device__ __forceinline__ uint32_t PackPair(float low, float high) {
  uint32_t pair;
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}

template <typename T>
__device__ __forceinline__ float2 UnpackPair(uint32_t pair) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return float2{__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000U)};
  } else {
    return __half22float2(reinterpret_cast<const __half2&>(pair));
  }
}

__device__ __forceinline__ float FloatOfBits(uint32_t bits) { return __uint_as_float(bits); }

// The `index`th 16 bytes at `values`. The load stays where it is written: the compiler would sink
// it behind the arithmetic of the one before, and one load at a time is in flight.
__device__ __forceinline__ uint4 LoadNow(const void* values, int64_t index) {
  uint4 v;
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(static_cast<const uint4*>(values) + index));
  return v;
}

#endif  // LONGSPAN_CUDA_EMULATION

template <typename T>
__device__ __forceinline__ void Unpack(const uint4& in, float out[8]) {
  const uint32_t words[4] = {in.x, in.y, in.z, in.w};
  LONGSPAN_UNROLL
  for (int i = 0; i < 4; ++i) {
    const float2 pair = UnpackPair<T>(words[i]);
    out[2 * i] = pair.x;
    out[2 * i + 1] = pair.y;
  }
}

template <typename T>
__device__ __forceinline__ uint4 Pack(const float in[8]) {
  return uint4{PackPair<T>(in[0], in[1]), PackPair<T>(in[2], in[3]), PackPair<T>(in[4], in[5]),
               PackPair<T>(in[6], in[7])};
}

__device__ __forceinline__ uint4 Load(const void* values, int64_t index) {
  return static_cast<const uint4*>(values)[index];
}
__device__ __forceinline__ void Store(void* values, int64_t index, const uint4& value) {
  static_cast<uint4*>(values)[index] = value;
}

}  // namespace longspan::cuda
