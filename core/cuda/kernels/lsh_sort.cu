// The plan of a batch, and hash rounds sorted by bucket: CUB's radix sort of (key, row) pairs. A
// key holds head, round, text and bucket (lsh_index.h), so one sort orders all of them at once; of
// the keys' bits only those that may differ are sorted.
#ifndef LONGSPAN_CUDA_EMULATION
#include <cub/device/device_radix_sort.cuh>
#endif

#include <algorithm>
#include <cstdint>

#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/lsh_index.h"
#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {
namespace {

constexpr int kPlanThreads = 256;

__global__ void __launch_bounds__(kPlanThreads, 1) ChunkPlanKernel(ChunkPlanParams p) {
  const int first = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int step = static_cast<int>(gridDim.x * blockDim.x);
  if (p.row_text) {
    for (int row = first; row < p.text_begin[p.num_texts]; row += step) {
      p.row_text[row] = FindSpan(p.text_begin, p.num_texts, row);
    }
  }
  for (int i = first; i < p.chunk_begin[p.num_texts]; i += step) {
    const int32_t text = FindSpan(p.chunk_begin, p.num_texts, i);
    p.chunks[i] = {text, i - p.chunk_begin[text]};
  }
}

__global__ void __launch_bounds__(kPlanThreads, 1)
    RowsOfSlotsKernel(int32_t* rows, int64_t count, int32_t num_rows) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    rows[i] = static_cast<int32_t>(i % num_rows);
  }
}

}  // namespace

cudaError_t PlanChunks(const ChunkPlanParams& p, cudaStream_t stream) {
  if (p.num_texts < 1 || p.num_rows < 1) return cudaErrorInvalidValue;
  const int blocks = std::min(p.num_rows / kPlanThreads + 1, NumMultiprocessors() * 8);
  return Launch(ChunkPlanKernel, dim3(static_cast<unsigned>(blocks)), kPlanThreads, 0, stream, p);
}

cudaError_t RowsOfSlots(int32_t* rows, int64_t count, int32_t num_rows, cudaStream_t stream) {
  if (num_rows < 1) return cudaErrorInvalidValue;
  const int blocks = NumMultiprocessors() * 8;
  return Launch(RowsOfSlotsKernel, dim3(static_cast<unsigned>(blocks)), kPlanThreads, 0, stream,
                rows, count, num_rows);
}

cudaError_t LshSortScratch(int64_t count, int bits, size_t* bytes) {
  *bytes = 0;
  return cub::DeviceRadixSort::SortPairs(
      nullptr, *bytes, static_cast<const uint32_t*>(nullptr), static_cast<uint32_t*>(nullptr),
      static_cast<const int32_t*>(nullptr), static_cast<int32_t*>(nullptr), count, 0, bits);
}

cudaError_t LshSort(const LshSortParams& p, cudaStream_t stream) {
  if (p.scratch == nullptr || p.bits < 1 || p.bits > 32) return cudaErrorInvalidValue;
  size_t bytes = p.scratch_bytes;
  const cudaError_t error = cub::DeviceRadixSort::SortPairs(
      p.scratch, bytes, p.keys, p.sorted_keys, p.rows, p.order, p.count, 0, p.bits, stream);
  return error == cudaSuccess ? cudaGetLastError() : error;
}

}  // namespace longspan::cuda
