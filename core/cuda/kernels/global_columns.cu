// Attention to global tokens beyond the window. A warp takes kRows neighbouring rows of some heads:
// kLanes of its lanes hold 8 columns each of one head, of all of the rows. So a key and its value
// are read once for kRows rows, and where the warp goes depends on its rows alone.
//
// The softmax is online and starts from what the row has seen already: the maximum is its lse, the
// sum is 1 and the output is its own (FlashAttention-2, arXiv 2307.08691, sec. 3.1). What comes out
// is the merge of both parts.
#include <cmath>
#include <cstdint>

#include "core/cuda/kernels/dispatch.cuh"
#include "core/cuda/kernels/global_columns.h"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/sorted_search.h"
#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kColumnThreads = 256;
constexpr int kRows = 4;
constexpr float kLog2OfE = 1.4426950408889634F;
constexpr float kLnOf2 = 0.6931471805599453F;

// What a lane holds of a row and head. Scores are in units of log2(e).
struct SeenByRow {
  float q[8];       // times the scale
  float out[8];     // the sum of weights times values
  float maximum;    // of the scores
  float sum;        // of the weights, 2^(score - maximum)
  bool is_changed;  // by a global token
};

// The lanes of a head: each gets the sum over all of them.
template <int kLanes>
__device__ __forceinline__ float SumOfHead(float x) {
  LONGSPAN_UNROLL
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(~0U, x, lanes);
  return x;
}

// Rows [first, first + count) of one text, whose globals are p.globals[begin .. end). `column` is
// the lane's first one of its head, or -1 where it has none: it then takes part with zeros.
template <typename T, int kLanes>
__device__ __forceinline__ void AddGlobals(const GlobalColumnsParams& p, int32_t first, int count,
                                           int32_t begin, int32_t end, int head, int column) {
  // Before `lower` and from `upper` on are the globals that some of the rows may not have seen.
  const int64_t last = int64_t{first} + count - 1;
  const int32_t lower =
      FirstPlace(begin, end, [&](int32_t i) { return p.globals[i] >= last - p.window; });
  const int32_t upper =
      FirstPlace(lower, end, [&](int32_t i) { return p.globals[i] - p.window > first; });
  if (lower == begin && upper == end) return;

  const bool works = column >= 0;
  const int64_t width = int64_t{p.num_heads} * p.head_size;
  const int64_t of_head = int64_t{head} * p.head_size + column;
  const auto at = [&](const void* base, int64_t row, int64_t stride) {
    return LoadNow(static_cast<const uint16_t*>(base) + row * stride + of_head, 0);
  };
  const uint4 zeros = {0, 0, 0, 0};
  uint4 q[kRows], before[kRows];
  LONGSPAN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    q[r] = before[r] = zeros;
    if (!works || r >= count) continue;
    q[r] = at(p.q, first + r, p.q_stride);
    before[r] = at(p.out, first + r, width);
  }
  SeenByRow rows[kRows];
  bool is_read[kRows];
  LONGSPAN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    is_read[r] = r < count && (p.read == nullptr || p.read[first + r] != 0);
    const float lse = r < count ? p.lse[int64_t{head} * p.num_rows + first + r] : -INFINITY;
    const bool empty = lse == INFINITY || lse == -INFINITY;
    rows[r].maximum = empty ? -INFINITY : lse * kLog2OfE;
    rows[r].sum = empty ? 0.0F : 1.0F;
    rows[r].is_changed = false;
    Unpack<T>(q[r], rows[r].q);
    Unpack<T>(before[r], rows[r].out);
    LONGSPAN_UNROLL
    for (int j = 0; j < 8; ++j) rows[r].q[j] *= p.scale * kLog2OfE;
  }

  for (int32_t i = begin; i < end; ++i) {
    if (i == lower) i = upper;
    if (i == end) break;
    const int32_t global = p.globals[i];
    if (p.read != nullptr && p.read[global] == 0) continue;
    float k[8], v[8];
    Unpack<T>(works ? at(p.k, global, p.k_stride) : zeros, k);
    Unpack<T>(works ? at(p.v, global, p.v_stride) : zeros, v);
    LONGSPAN_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const int64_t distance = int64_t{first} + r - global;
      if (!is_read[r] || (distance < 0 ? -distance : distance) <= p.window) continue;
      float score = 0.0F;
      LONGSPAN_UNROLL
      for (int j = 0; j < 8; ++j) score += rows[r].q[j] * k[j];
      score = SumOfHead<kLanes>(score);
      const float highest = fmaxf(rows[r].maximum, score);
      const float kept = exp2f(rows[r].maximum - highest), weight = exp2f(score - highest);
      rows[r].is_changed = true;
      rows[r].maximum = highest;
      rows[r].sum = rows[r].sum * kept + weight;
      LONGSPAN_UNROLL
      for (int j = 0; j < 8; ++j) rows[r].out[j] = rows[r].out[j] * kept + weight * v[j];
    }
  }

  LONGSPAN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    if (!works || !rows[r].is_changed) continue;
    LONGSPAN_UNROLL
    for (int j = 0; j < 8; ++j) rows[r].out[j] /= rows[r].sum;
    Store(static_cast<uint16_t*>(p.out) + (first + r) * width + of_head, 0, Pack<T>(rows[r].out));
    if (column == 0) {
      p.lse[int64_t{head} * p.num_rows + first + r] =
          (rows[r].maximum + log2f(rows[r].sum)) * kLnOf2;
    }
  }
}

template <typename T, int kLanes>
__global__ void __launch_bounds__(kColumnThreads, 2) GlobalColumnsKernel(GlobalColumnsParams p) {
  constexpr int kHeads = kWarp / kLanes;  // of a warp
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int head_groups = (p.num_heads + kHeads - 1) / kHeads;
  const int64_t item =
      int64_t{blockIdx.x} * (kColumnThreads / kWarp) + static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first_row = item / head_groups * kRows;
  if (first_row >= p.num_rows) return;
  const int head = static_cast<int>(item % head_groups) * kHeads + lane / kLanes;
  const int column = lane % kLanes * 8;
  const bool works = head < p.num_heads && column < p.head_size;

  int32_t row = static_cast<int32_t>(first_row);
  const int32_t row_end = row + kRows < p.num_rows ? row + kRows : p.num_rows;
  int32_t text = FirstPlace(0, p.num_texts, [&](int32_t t) { return p.cu_seqlens[t + 1] > row; });
  for (; row < row_end; ++text) {
    const int32_t text_end = p.cu_seqlens[text + 1];
    const int32_t end = text_end < row_end ? text_end : row_end;
    const int32_t begin_global = p.cu_globals[text], end_global = p.cu_globals[text + 1];
    if (end > row && end_global > begin_global) {
      AddGlobals<T, kLanes>(p, row, end - row, begin_global, end_global, works ? head : 0,
                            works ? column : -1);
    }
    row = end;
  }
}

template <int kLanes>
cudaError_t RunColumns(const GlobalColumnsParams& p, cudaStream_t stream) {
  constexpr int kHeads = kWarp / kLanes, kWarps = kColumnThreads / kWarp;
  const int64_t items =
      (int64_t{p.num_rows} + kRows - 1) / kRows * ((p.num_heads + kHeads - 1) / kHeads);
  const int64_t blocks = (items + kWarps - 1) / kWarps;
  if (blocks > 0x7fffffff) return cudaErrorInvalidValue;
  return WithStorage(p.storage, [&](auto t) {
    return Launch(GlobalColumnsKernel<decltype(t), kLanes>, dim3(static_cast<unsigned>(blocks)),
                  kColumnThreads, 0, stream, p);
  });
}

bool AreValid(const GlobalColumnsParams& p) {
  return p.head_size >= 8 && p.head_size <= 256 && p.head_size % 8 == 0 && p.num_heads >= 1 &&
         p.num_texts >= 1 && p.num_rows >= 1 && p.window >= 0 && p.q_stride % 8 == 0 &&
         p.k_stride % 8 == 0 && p.v_stride % 8 == 0 && AreAligned(p.q, p.k, p.v, p.out);
}

}  // namespace

cudaError_t GlobalColumns(const GlobalColumnsParams& p, cudaStream_t stream) {
  if (!AreValid(p)) return cudaErrorInvalidValue;
  if (p.head_size <= 8) return RunColumns<1>(p, stream);
  if (p.head_size <= 16) return RunColumns<2>(p, stream);
  if (p.head_size <= 32) return RunColumns<4>(p, stream);
  if (p.head_size <= 64) return RunColumns<8>(p, stream);
  if (p.head_size <= 128) return RunColumns<16>(p, stream);
  return RunColumns<32>(p, stream);
}

}  // namespace longspan::cuda
