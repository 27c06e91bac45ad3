// Launches the kernels for rows of global tokens, and merges the parts of a text.
#include <cmath>
#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/global_rows.h"
#include "core/cuda/kernels/global_rows_average.cuh"
#include "core/cuda/kernels/launch.cuh"

namespace longspan::cuda {
namespace {

constexpr int kMergeColumns = 256, kMergeGroups = 4;  // a thread has four columns
constexpr int kMergeThreads = kMergeColumns / 4 * kMergeGroups;
static_assert(kMergeThreads == kGlobalRowsMaxParts);

struct MergeShared {
  float4 sums[kMergeGroups][kMergeColumns / 4];
  float weights[kMergeThreads];  // of the parts
  float maxima[kMergeThreads / 32];
  float totals[kMergeThreads / 32];
};

// Block x merges the parts of one query: thread i has the weight of part i, and then threads have
// four columns of every kMergeGroups-th part. Blocks of equal x share the columns.
__global__ void __launch_bounds__(kMergeThreads) MergeRowsKernel(GlobalRowsParams p) {
  MergeShared& shared = *reinterpret_cast<MergeShared*>(LaunchedShared());
  const GlobalRowsMerge merge = p.merges[blockIdx.x / kGlobalRowsQueries];
  const int query = static_cast<int>(blockIdx.x) % kGlobalRowsQueries;
  if (query >= merge.queries.count) return;
  const int thread = static_cast<int>(threadIdx.x);
  float2 own = {-INFINITY, 0.0F};
  if (thread < merge.num_parts) own = PartSums(p, merge.first_part + thread)[query];
  const float highest_of_warp = MaximumOfLanes<16>(own.x);
  if (thread % 32 == 0) shared.maxima[thread / 32] = highest_of_warp;
  __syncthreads();
  float highest = -INFINITY;
  LONGSPAN_UNROLL
  for (const float maximum : shared.maxima) highest = fmaxf(highest, maximum);
  const float weight = Exp2(own.x - (highest == -INFINITY ? 0.0F : highest));
  shared.weights[thread] = weight;
  const float total_of_warp = SumOfLanes(weight * own.y);
  if (thread % 32 == 0) shared.totals[thread / 32] = total_of_warp;
  __syncthreads();
  float total = 0.0F;
  LONGSPAN_UNROLL
  for (const float of_warp : shared.totals) total += of_warp;
  const float by = total == 0.0F ? 0.0F : 1.0F / total;

  float* out = p.averages + GlobalRowsQuery(merge.queries, query, p.num_globals) * p.width;
  const int group = thread / (kMergeColumns / 4), place = thread % (kMergeColumns / 4);
  for (int first = static_cast<int>(blockIdx.y) * kMergeColumns; first < p.width;
       first += static_cast<int>(gridDim.y) * kMergeColumns) {
    const int column = first + place * 4;
    float4 sum = {0.0F, 0.0F, 0.0F, 0.0F};
    if (column < p.width) {
      LONGSPAN_UNROLL_BY(8)
      for (int part = group; part < merge.num_parts; part += kMergeGroups) {
        const float4 x =
            *reinterpret_cast<const float4*>(PartRow(p, merge.first_part + part, query) + column);
        const float w = shared.weights[part];
        sum.x = fmaf(w, x.x, sum.x);
        sum.y = fmaf(w, x.y, sum.y);
        sum.z = fmaf(w, x.z, sum.z);
        sum.w = fmaf(w, x.w, sum.w);
      }
    }
    shared.sums[group][place] = sum;
    __syncthreads();
    if (group == 0 && column < p.width) {
      LONGSPAN_UNROLL
      for (int other = 1; other < kMergeGroups; ++other) {
        const float4 x = shared.sums[other][place];
        sum = {sum.x + x.x, sum.y + x.y, sum.z + x.z, sum.w + x.w};
      }
      *reinterpret_cast<float4*>(out + column) =
          float4{sum.x * by, sum.y * by, sum.z * by, sum.w * by};
    }
    __syncthreads();  // the sums are read
  }
}

template <typename T, int kSteps, int kRows>
cudaError_t RunAverages(const GlobalRowsParams& p, cudaStream_t stream) {
  constexpr auto kKernel = AverageRowsKernel<T, kSteps, kRows>;
  constexpr int kBytes = static_cast<int>(sizeof(RowsShared<kSteps, kRows>));
  if (const cudaError_t error = AllowShared<kKernel>(kBytes); error != cudaSuccess) return error;
  return Launch(kKernel, dim3(static_cast<unsigned>(p.num_blocks)), kRowsThreads, kBytes, stream,
                p);
}

// Tiles of 32 rows, or of 16 where a block has too little shared memory for two of them: cards of
// compute capability 8.6 to 8.9 and 12.0, at widths above 256, and 8.0 above 768.
template <typename T, int kSteps>
cudaError_t RunAverages(const GlobalRowsParams& p, cudaStream_t stream) {
  if constexpr (kSteps > 1) {
    int device = 0, most = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) {
      error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
    if (error != cudaSuccess) return error;
    if (most < static_cast<int>(sizeof(RowsShared<kSteps, 32>))) {
      return RunAverages<T, kSteps, 16>(p, stream);
    }
  }
  return RunAverages<T, kSteps, 32>(p, stream);
}
template <typename T>
cudaError_t RunAverages(const GlobalRowsParams& p, cudaStream_t stream) {
  constexpr int kColumns = 16 * kRowsWarps;  // of a step of all warps
  if (p.width <= kColumns) return RunAverages<T, 1>(p, stream);
  if (p.width <= 2 * kColumns) return RunAverages<T, 2>(p, stream);
  if (p.width <= 3 * kColumns) return RunAverages<T, 3>(p, stream);
  return RunAverages<T, 4>(p, stream);
}
static_assert(kGlobalRowsMaxWidth == 4 * 16 * kRowsWarps);

cudaError_t RunMerges(const GlobalRowsParams& p, cudaStream_t stream) {
  const int64_t queries = int64_t{p.num_merges} * kGlobalRowsQueries;
  if (queries > 0x7fffffff) return cudaErrorInvalidValue;
  // Blocks share the columns of a query where there are few queries for the card.
  const int64_t slices = (p.width + kMergeColumns - 1) / kMergeColumns;
  const int64_t wanted = 4 * int64_t{NumMultiprocessors()} / queries;
  const auto shared_by = static_cast<unsigned>(wanted < 1 ? 1 : wanted < slices ? wanted : slices);
  return Launch(MergeRowsKernel, dim3(static_cast<unsigned>(queries), shared_by), kMergeThreads,
                static_cast<int>(sizeof(MergeShared)), stream, p);
}

bool AreValid(const GlobalRowsParams& p) {
  return p.width >= 8 && p.width % 8 == 0 && p.width <= kGlobalRowsMaxWidth && p.num_globals >= 1 &&
         p.num_merges >= 0 && p.num_parts >= 2 * p.num_merges && IsAligned(p.hidden) &&
         IsAligned(p.u) && IsAligned(p.averages) && IsAligned(p.scratch) && p.hidden && p.u &&
         p.averages && p.blocks && (p.num_merges == 0 || (p.merges && p.scratch));
}

}  // namespace

size_t GlobalRowsScratch(int num_parts, int width) {
  return static_cast<size_t>(num_parts) * kGlobalRowsQueries *
         (sizeof(float2) + static_cast<size_t>(width) * sizeof(float));
}

cudaError_t GlobalRowAverages(const GlobalRowsParams& p, cudaStream_t stream) {
  if (p.num_blocks == 0) return cudaSuccess;
  if (p.num_blocks < 0 || !AreValid(p)) return cudaErrorInvalidValue;
  const cudaError_t error = p.storage == Storage::kBfloat16 ? RunAverages<__nv_bfloat16>(p, stream)
                                                            : RunAverages<__half>(p, stream);
  if (error != cudaSuccess || p.num_merges == 0) return error;
  return RunMerges(p, stream);
}

}  // namespace longspan::cuda
