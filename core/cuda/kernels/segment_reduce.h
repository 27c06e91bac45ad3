// Sums, weighted sums and maxima of consecutive segments of rows, for pooling. Compute capability
// 8.0 and later.
//
// A segment is cut into chunks of kSegmentChunk rows from its own first row on (segment_chunks.h),
// and chunks are added in a fixed order. So its results are the same bits in each run, and whatever
// lies beside it. Four rows are added in float32, all else in float64: a sum differs from the exact
// one by at most 2^-22 of the sum of the absolute values, however long the segment is, and a
// weighted sum by as much of the absolute products. Where four rows leave the range of float32, the
// sum is infinite.
//
// Letters in shapes: n rows of E values, S segments. Proven by segment_reduce_emulation_test.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/kernels/runtime_api.h"

namespace longspan::cuda {

enum class RowType : uint8_t { kBfloat16, kFloat16, kFloat32 };

struct SegmentReduceParams {
  const void* rows = nullptr;         // [n, E]
  RowType type = RowType::kBfloat16;  // of rows
  // [S+1], first rows of the segments, and n: 0 = offsets[0] < offsets[1] < ... = n.
  const int64_t* offsets = nullptr;
  const float* weights = nullptr;  // [n]; null = no weighted sum is wanted
  // [n], 0 = the row counts as if it were not there, also where it is NaN. Null = all are read.
  const uint8_t* read = nullptr;
  double* sum = nullptr;           // out [S, E], null = not wanted
  double* weighted_sum = nullptr;  // out [S, E], null = not wanted
  float* max = nullptr;            // out [S, E], -inf where no row is read; NaN wins. Likewise.
  int64_t num_rows = 0;            // n
  int32_t num_segments = 0;        // S, at most n
  int32_t width = 0;               // E, a multiple of 8
  void* scratch = nullptr;         // SegmentReduceScratch bytes
  size_t scratch_bytes = 0;
};
// Bytes that SegmentReduce needs at `scratch`. It looks at sizes and at what is wanted, not at what
// pointers point to.
size_t SegmentReduceScratch(const SegmentReduceParams& params);
// Returns cudaErrorInvalidValue for sizes and alignments that it does not take, and for scratch
// that is too small.
cudaError_t SegmentReduce(const SegmentReduceParams& params, cudaStream_t stream);

}  // namespace longspan::cuda
