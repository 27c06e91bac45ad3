// The instructions of compute capability 9.0 that CUDA C++ has no functions for: barriers in shared
// memory, the tensor memory accelerator, and warpgroup matrix products (wgmma). Names and operands:
// PTX ISA 9.0, sec. 9.7.13 (mbarrier), 9.7.9 (cp.async.bulk.tensor), 9.7.15 (wgmma).
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>

#include <cstdint>
#include <type_traits>

#include "core/cuda/kernels/ampere.cuh"

namespace longspan::cuda {

// A barrier whose phase ends after `count` arrivals, and the bytes expected.
__device__ __forceinline__ void InitBarrier(uint32_t barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count));
}
// Makes barriers known to the accelerator. Then the block must synchronize.
__device__ __forceinline__ void PublishBarriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void ArriveExpecting(uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void Arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Waits until the phase of this parity (0 = the first) has ended.
__device__ __forceinline__ void WaitFor(uint32_t barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred ended;\nwait%=:\nmbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@ended bra done%=;\nbra wait%=;\ndone%=:\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// A box of the map, beginning at (column, row), into shared memory; its bytes count for the
// barrier.
__device__ __forceinline__ void LoadBox(uint32_t to, const CUtensorMap* map, int column, int row,
                                        uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(map), "r"(barrier), "r"(column), "r"(row)
      : "memory");
}

// What ordinary stores wrote to shared memory may now be read by wgmma (after a barrier).
__device__ __forceinline__ void PublishShared() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// The descriptor of a matrix in shared memory: rows of kColumns 2-byte values, swizzled over their
// own width (128 bytes = layout 1, 64 bytes = layout 2), 8 rows behind 8 rows.
template <int kColumns>
__device__ __forceinline__ uint64_t MatrixDescriptor(uint32_t address) {
  static_assert(kColumns == 32 || kColumns == 64);
  constexpr uint64_t kLayout = kColumns == 64 ? 1 : 2;
  constexpr uint64_t kEightRows = 8 * kColumns * 2;
  return kLayout << 62 | (kEightRows >> 4) << 32 | uint64_t{1} << 16 |
         uint64_t{(address & 0x3ffffU) >> 4};
}

__device__ __forceinline__ void ProductsBegin() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
// Commits the products since ProductsBegin and waits for them.
__device__ __forceinline__ void ProductsEnd() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

// clang-format off
#define LONGSPAN_D8(d) \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define LONGSPAN_D16(d) \
  LONGSPAN_D8(d), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), \
  "+f"(d[14]), "+f"(d[15])
#define LONGSPAN_D32(d) \
  LONGSPAN_D16(d), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), \
  "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), \
  "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define LONGSPAN_WGMMA(shape, type, registers, a, b, add, transposed) \
  "{\n.reg .pred add;\nsetp.ne.b32 add, " add ", 0;\nwgmma.mma_async.sync.aligned." shape "k16.f32." \
  type "." type " {" registers "}, {" a "}, " b ", add, 1, 1, " transposed ";\n}"
#define LONGSPAN_R8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define LONGSPAN_R16 LONGSPAN_R8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define LONGSPAN_R32 \
  LONGSPAN_R16 ", %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31"

// d [64, 2 * size of d] = a [64, 16] * b (+ d). `a` lies in registers as the instruction wants it.
// kTransposed: b is stored as [16 (k), columns]; else as [columns, 16 (k)].
template <typename T, bool kTransposed>
__device__ __forceinline__ void Multiply(float (&d)[32], const uint32_t (&a)[4], uint64_t b, int add) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm volatile(LONGSPAN_WGMMA("m64n64", "bf16", LONGSPAN_R32, "%32, %33, %34, %35", "%36", "%37", "%38")
                 : LONGSPAN_D32(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kTransposed}));
  } else {
    asm volatile(LONGSPAN_WGMMA("m64n64", "f16", LONGSPAN_R32, "%32, %33, %34, %35", "%36", "%37", "%38")
                 : LONGSPAN_D32(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kTransposed}));
  }
}
template <typename T, bool kTransposed>
__device__ __forceinline__ void Multiply(float (&d)[16], const uint32_t (&a)[4], uint64_t b, int add) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm volatile(LONGSPAN_WGMMA("m64n32", "bf16", LONGSPAN_R16, "%16, %17, %18, %19", "%20", "%21", "%22")
                 : LONGSPAN_D16(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kTransposed}));
  } else {
    asm volatile(LONGSPAN_WGMMA("m64n32", "f16", LONGSPAN_R16, "%16, %17, %18, %19", "%20", "%21", "%22")
                 : LONGSPAN_D16(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kTransposed}));
  }
}
template <typename T, bool kTransposed>
__device__ __forceinline__ void Multiply(float (&d)[8], const uint32_t (&a)[4], uint64_t b, int add) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm volatile(LONGSPAN_WGMMA("m64n16", "bf16", LONGSPAN_R8, "%8, %9, %10, %11", "%12", "%13", "%14")
                 : LONGSPAN_D8(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kTransposed}));
  } else {
    asm volatile(LONGSPAN_WGMMA("m64n16", "f16", LONGSPAN_R8, "%8, %9, %10, %11", "%12", "%13", "%14")
                 : LONGSPAN_D8(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kTransposed}));
  }
}
#undef LONGSPAN_D8
#undef LONGSPAN_D16
#undef LONGSPAN_D32
#undef LONGSPAN_WGMMA
#undef LONGSPAN_R8
#undef LONGSPAN_R16
#undef LONGSPAN_R32
// clang-format on

}  // namespace longspan::cuda
