// Launches the two hash kernels.
#include <algorithm>
#include <cstdint>

#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/lsh_hash_plain.cuh"
#include "core/cuda/kernels/lsh_hash_tensor.cuh"
#include "core/cuda/kernels/lsh_index.h"
#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {
namespace {

// Blocks go over the rows in steps: so many that the device is full, and each loads the rotations
// once for many rows.
dim3 HashGrid(const LshHashParams& p, int block_rows, int blocks_a_multiprocessor) {
  const int64_t blocks = (int64_t{p.num_rows} + block_rows - 1) / block_rows;
  const int64_t most = int64_t{NumMultiprocessors()} * blocks_a_multiprocessor / p.num_heads;
  return {static_cast<unsigned>(std::min(blocks, std::max<int64_t>(1, most))),
          static_cast<unsigned>(p.num_heads)};
}

template <int kD, int kSub, bool kBfloat16>
cudaError_t RunPlainHash(const LshHashParams& p, cudaStream_t stream) {
  constexpr auto kKernel = LshHashPlainKernel<kD, kSub, kBfloat16>;
  constexpr int kBytes = kHashShared<kD, kSub>;
  if (const cudaError_t error = AllowShared<kKernel>(kBytes); error != cudaSuccess) return error;
  return Launch(kKernel, HashGrid(p, kHashTokens, 12), kHashTokens, kBytes, stream, p);
}
template <int kD, bool kBfloat16>
cudaError_t RunPlainHash(const LshHashParams& p, cudaStream_t stream) {
  const int tiles = p.num_rounds * RoundTiles(p.factors);
  if (tiles % 3 == 0) return RunPlainHash<kD, 3, kBfloat16>(p, stream);
  if (tiles % 2 == 0) return RunPlainHash<kD, 2, kBfloat16>(p, stream);
  return RunPlainHash<kD, 1, kBfloat16>(p, stream);
}

template <int kD, bool kBfloat16>
cudaError_t RunTensorHash(const LshHashParams& p, cudaStream_t stream) {
  constexpr int kTile = kPieceUnits<kD> * 16, kMost = 96 << 10;  // bytes; two blocks share 192 KiB
  constexpr int kRowTiles = kBfloat16 ? 2 : 1, kTokens = kTensorHashWarps * 16 * kRowTiles;
  constexpr auto kKernel = LshHashTensorKernel<kD, kRowTiles, kBfloat16>;
  if (const cudaError_t error = AllowShared<kKernel>(kMost); error != cudaSuccess) return error;
  const int group_tiles = std::min(p.num_rounds * RoundTiles(p.factors), kMost / kTile);
  return Launch(kKernel, HashGrid(p, kTokens, 4), kTensorHashWarps * 32, group_tiles * kTile,
                stream, p, group_tiles);
}

bool AreValid(const LshHashParams& p) {
  if (!AreValid(p.factors) || p.num_rows < 1 || p.num_heads < 1 || p.num_heads > 65535 ||
      p.num_rounds < 1 || p.num_texts < 1 || p.chunk_length < 1) {
    return false;
  }
  const int32_t buckets = BucketsARound(NumBuckets(p.factors), p.key_mask != nullptr);
  return NumSortKeys(p.num_heads, p.num_rounds, p.num_texts, buckets) <= uint64_t{1} << 32 &&
         IsAligned(p.x) && IsAligned(p.rotations) &&
         p.x_stride % (p.input == HashInput::kBfloat16 ? 8 : 4) == 0;
}

}  // namespace

cudaError_t LshHash(const LshHashParams& p, cudaStream_t stream) {
  if (!AreValid(p)) return cudaErrorInvalidValue;
  const bool is_bfloat16 = p.input == HashInput::kBfloat16;
  return WithHeadSize(p.head_size, [&](auto size) {
    constexpr int kD = decltype(size)::value;
    if (p.units == HashUnits::kTensorCores) {
      return is_bfloat16 ? RunTensorHash<kD, true>(p, stream) : RunTensorHash<kD, false>(p, stream);
    }
    return is_bfloat16 ? RunPlainHash<kD, true>(p, stream) : RunPlainHash<kD, false>(p, stream);
  });
}

}  // namespace longspan::cuda
