// A float32 number as the sum of three bfloat16 numbers (8 + 8 + 8 bits), so that tensor cores
// multiply float32 numbers. A product is the sum of products of pieces, added in float32; those
// below 2^-24 are left out.
//   bfloat16 x:  x R0 + x R1 + x R2
//   float32 x:   x0 R0 + (x0 R1 + x1 R0) + (x0 R2 + x1 R1 + x2 R0), the smallest first
#pragma once

#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/host_device.h"

namespace longspan::cuda {

// The first pieces of two numbers, as pairs. Pieces of float16 have 11 bits, as long as they are
// not below its smallest exponent.
template <typename T = __nv_bfloat16, int kPieces>
__device__ __forceinline__ void SplitPair(float low, float high, uint32_t (&pieces)[kPieces]) {
  LONGSPAN_UNROLL
  for (int p = 0; p < kPieces; ++p) {
    pieces[p] = PackPair<T>(low, high);
    low -= LowNumber<T>(pieces[p]);
    high -= HighNumber<T>(pieces[p]);
  }
}

// The pieces of rotations lie as the product wants them: [heads, tiles, D / 32, 4 times 8 columns,
// 3 pieces, 32 lanes] units of 16 bytes. Lane l holds column l / 4 and the dimensions 8 * (l % 4)
// to 8 * (l % 4) + 7 of 32. A product does not mind the order of dimensions as long as x has the
// same.
LONGSPAN_HOST_DEVICE int64_t NumRotationPieces(int64_t num_heads, int32_t head_size,
                                               int32_t tiles) {
  return num_heads * tiles * (head_size / 32) * (4 * 3 * 32);
}
template <int kD>
constexpr int kPieceUnits = kD / 32 * 4 * 3 * 32;  // of a tile

}  // namespace longspan::cuda
