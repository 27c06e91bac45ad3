// The instructions of compute capability 8.0 that CUDA C++ has no functions for: asynchronous
// copies into shared memory, and loads and products of matrices by a warp. Names and operands: PTX
// ISA 9.0, sec. 9.7.9 (cp.async), 9.7.14 (ldmatrix, mma). Tests have functions of the same names
// for the processor (tests/core/cuda/kernels/emulated_ampere.h).
#pragma once

#ifndef LONGSPAN_CUDA_EMULATION

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {

__device__ __forceinline__ uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// The shared memory whose size the launch gives, aligned to 128 bytes.
__device__ __forceinline__ uint8_t* LaunchedShared() {
  extern __shared__ __align__(128) uint8_t memory[];
  return memory;
}

// Begins to copy 16 bytes to shared memory, or zeros where `read` is false (`from` must be a valid
// address even so). The bytes are there for this thread after its CopyWait, and for others after a
// barrier behind that.
__device__ __forceinline__ void CopyAsync16(void* to, const void* from, bool read) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(to)), "l"(from),
               "r"(read ? 16 : 0)
               : "memory");
}
// Makes a group of the copies that this thread has begun since the last one.
__device__ __forceinline__ void CopyCommit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until at most kLeft groups of this thread are under way.
template <int kLeft>
__device__ __forceinline__ void CopyWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Four 8 x 8 matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8,
// and receives elements 2 * (l % 4) and the next of row l / 4 of each matrix.
__device__ __forceinline__ void LoadMatrices(uint32_t (&m)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(SharedAddress(row))
               : "memory");
}
// As above, with rows and columns of each matrix exchanged.
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&m)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// c[16, 8] += a[16, 16] b[16, 8], bfloat16 or float16 with float32 sums. Lane l holds columns
// 2 * (l % 4) and the next of rows l / 4 (c[0], c[1]) and l / 4 + 8 (c[2], c[3]).
template <typename T = __nv_bfloat16>
__device__ __forceinline__ void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                            uint32_t b1) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

// 2^x to about two units in the last place.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The two numbers of a pair of bfloat16.
__device__ __forceinline__ float LowBfloat16(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float HighBfloat16(uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000U);
}
// The same of a pair of T.
template <typename T>
__device__ __forceinline__ float LowNumber(uint32_t pair) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return LowBfloat16(pair);
  } else {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(pair & 0xffffU)));
  }
}
template <typename T>
__device__ __forceinline__ float HighNumber(uint32_t pair) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return HighBfloat16(pair);
  } else {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(pair >> 16)));
  }
}

}  // namespace longspan::cuda

#endif  // LONGSPAN_CUDA_EMULATION
