// Merges the results of hash rounds. A thread has 8 columns of one row and head.
#include <cmath>
#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {
namespace {

constexpr int kMergeThreads = 256;

template <int kD>
__global__ void __launch_bounds__(kMergeThreads, 1) MergeKernel(LshMergeParams p) {
  constexpr int kUnits = kD / 8;
  const int64_t item =
      int64_t{blockIdx.x} * (kMergeThreads / kUnits) + static_cast<int>(threadIdx.x) / kUnits;
  const int unit = static_cast<int>(threadIdx.x) % kUnits;
  if (item >= int64_t{1} * p.num_rows * p.num_heads) return;
  const float* lse = p.lse + item * p.num_rounds;
  float maximum = -INFINITY, weight = 0.0F;
  for (int r = 0; r < p.num_rounds; ++r) maximum = fmaxf(maximum, lse[r]);
  for (int r = 0; r < p.num_rounds; ++r) weight += expf(lse[r] - maximum);
  const float z = maximum + logf(weight);  // rounded to float32: a part of the rule
  float sum[8] = {};
  for (int r = 0; r < p.num_rounds; ++r) {
    if (lse[r] == -INFINITY) continue;  // the text has no such round: nothing was written
    const float factor = expf(lse[r] - z);
    const uint4 part = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(p.parts) +
                                                       (item * p.num_rounds + r) * kD + unit * 8);
    const uint32_t pairs[4] = {part.x, part.y, part.z, part.w};
    LONGSPAN_UNROLL
    for (int i = 0; i < 4; ++i) {
      sum[2 * i] = fmaf(factor, LowBfloat16(pairs[i]), sum[2 * i]);
      sum[2 * i + 1] = fmaf(factor, HighBfloat16(pairs[i]), sum[2 * i + 1]);
    }
  }
  uint4 merged;
  merged.x = PackPair<__nv_bfloat16>(sum[0], sum[1]);
  merged.y = PackPair<__nv_bfloat16>(sum[2], sum[3]);
  merged.z = PackPair<__nv_bfloat16>(sum[4], sum[5]);
  merged.w = PackPair<__nv_bfloat16>(sum[6], sum[7]);
  const int64_t row = item / p.num_heads, head = item - row * p.num_heads;
  *reinterpret_cast<uint4*>(static_cast<uint16_t*>(p.out) + row * p.out_stride + head * kD +
                            unit * 8) = merged;
}

}  // namespace

cudaError_t LshMerge(const LshMergeParams& p, cudaStream_t stream) {
  if (p.storage != Storage::kBfloat16) return cudaErrorNotSupported;
  if (!IsAligned(p.parts) || !IsAligned(p.out) || p.out_stride % 8 != 0 || p.num_rows < 1 ||
      p.num_heads < 1 || p.num_rounds < 1) {
    return cudaErrorInvalidValue;
  }
  return WithHeadSize(p.head_size, [&](auto size) -> cudaError_t {
    constexpr int kD = decltype(size)::value, kItems = kMergeThreads / (kD / 8);
    const int64_t blocks = (int64_t{p.num_rows} * p.num_heads + kItems - 1) / kItems;
    if (blocks > 0x7fffffff) return cudaErrorInvalidValue;
    return Launch(MergeKernel<kD>, dim3(static_cast<unsigned>(blocks)), kMergeThreads, 0, stream,
                  p);
  });
}

}  // namespace longspan::cuda
