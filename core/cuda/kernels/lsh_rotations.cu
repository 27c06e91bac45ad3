// Rotations in the layouts that the two hash kernels read, made once a model.
#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/bfloat16_pieces.cuh"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/lsh_index.h"
#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {
namespace {

constexpr int kPackThreads = 256;

// [heads, D, tiles * kHashColumns]
__global__ void __launch_bounds__(kPackThreads, 1) PackRotationsKernel(PackRotationsParams p) {
  float* packed = static_cast<float*>(p.packed);
  const int32_t columns = p.num_rounds * RoundTiles(p.factors) * kHashColumns;
  const int32_t sources = p.num_rounds * RoundColumns(p.factors);
  const int64_t count = int64_t{1} * p.num_heads * p.head_size * columns;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    const int64_t row = i / columns;
    const int32_t column = static_cast<int32_t>(i - row * columns);
    const HashTile tile = FindHashTile(p.factors, column / kHashColumns);
    const int32_t in_tile = column % kHashColumns;
    packed[i] = tile.first + in_tile < tile.half
                    ? p.rotations[row * sources + tile.source + in_tile]
                    : 0.0F;
  }
}

// Pieces, as bfloat16_pieces.cuh lays them out.
__global__ void __launch_bounds__(kPackThreads, 1) SplitRotationsKernel(PackRotationsParams p) {
  uint4* packed = static_cast<uint4*>(p.packed);
  const int32_t tiles = p.num_rounds * RoundTiles(p.factors);
  const int32_t sources = p.num_rounds * RoundColumns(p.factors), steps = p.head_size / 32;
  const int64_t count = int64_t{1} * p.num_heads * tiles * steps * 4 * 32;  // three units each
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    const int lane = static_cast<int>(i % 32), n = static_cast<int>(i / 32 % 4);
    const int step = static_cast<int>(i / 128 % steps);
    const int32_t tile_index = static_cast<int32_t>(i / 128 / steps % tiles);
    const int64_t head = i / 128 / steps / tiles;
    const HashTile tile = FindHashTile(p.factors, tile_index);
    const int32_t column = n * 8 + lane / 4;
    uint32_t words[3][4];
    LONGSPAN_UNROLL
    for (int w = 0; w < 4; ++w) {
      const int64_t d = head * p.head_size + step * 32 + lane % 4 * 8 + w * 2;
      const bool real = tile.first + column < tile.half;
      const int64_t from = d * sources + tile.source + column;
      uint32_t pieces[3];
      SplitPair(real ? p.rotations[from] : 0.0F, real ? p.rotations[from + sources] : 0.0F, pieces);
      LONGSPAN_UNROLL
      for (int piece = 0; piece < 3; ++piece) words[piece][w] = pieces[piece];
    }
    LONGSPAN_UNROLL
    for (int piece = 0; piece < 3; ++piece) {
      uint4 unit;
      unit.x = words[piece][0];
      unit.y = words[piece][1];
      unit.z = words[piece][2];
      unit.w = words[piece][3];
      packed[(i / 32 * 3 + piece) * 32 + lane] = unit;
    }
  }
}

}  // namespace

int64_t PackedRotationBytes(const PackRotationsParams& p) {
  if (!AreValid(p.factors) || p.num_heads < 1 || p.num_rounds < 1) return 0;
  if (p.head_size != 32 && p.head_size != 64 && p.head_size != 128) return 0;
  const int32_t tiles = p.num_rounds * RoundTiles(p.factors);
  if (p.units == HashUnits::kTensorCores) {
    return NumRotationPieces(p.num_heads, p.head_size, tiles) * int64_t{sizeof(uint4)};
  }
  return int64_t{p.num_heads} * p.head_size * tiles * kHashColumns * int64_t{sizeof(float)};
}

cudaError_t PackRotations(const PackRotationsParams& p, cudaStream_t stream) {
  if (PackedRotationBytes(p) == 0 || !IsAligned(p.packed)) return cudaErrorInvalidValue;
  const auto kernel =
      p.units == HashUnits::kTensorCores ? SplitRotationsKernel : PackRotationsKernel;
  return Launch(kernel, dim3(static_cast<unsigned>(NumMultiprocessors())), kPackThreads, 0, stream,
                p);
}

}  // namespace longspan::cuda
