// Sums and maxima of segments, in three launches:
//   plan      which chunk each slot holds, and which segment begins at each place
//   reduce    a warp takes 8 x 32 columns of a chunk. A segment of one chunk is done then
//   combine   the chunks of longer segments, of 32 columns by a block
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/segment_chunks.h"
#include "core/cuda/kernels/segment_reduce.h"
#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kPlanThreads = 256;
constexpr int kReduceThreads = 128;
constexpr int kTileColumns = 8 * kWarp;
constexpr int kCombineWarps = 16;
constexpr int kPlacesOfBlock = 16;
constexpr int kFloatGroup = 4;  // rows that are added in float32

// What lies at `scratch`; results of chunks that are not wanted are null.
struct ReduceScratch {
  SegmentSlot* slots = nullptr;    // [num_slots]
  int32_t* segments = nullptr;     // [num_places], that begin there, or -1
  double* sum = nullptr;           // [num_places, E]
  double* weighted_sum = nullptr;  // [num_places, E]
  float* max = nullptr;            // [num_places, E]
  int64_t num_slots = 0;
  int64_t num_places = 0;
  size_t bytes = 0;
};

ReduceScratch ScratchOf(const SegmentReduceParams& p) {
  ReduceScratch s;
  s.num_slots = NumSegmentSlots(p.num_rows, p.num_segments);
  s.num_places = NumSegmentPlaces(p.num_rows);
  const auto take = [&]<typename Element>(Element*& pointer, bool wanted, int64_t count) {
    if (!wanted) return;
    if (p.scratch != nullptr) {
      pointer = reinterpret_cast<Element*>(static_cast<char*>(p.scratch) + s.bytes);
    }
    s.bytes += (static_cast<size_t>(count) * sizeof(Element) + 15) / 16 * 16;
  };
  take(s.slots, true, s.num_slots);
  take(s.segments, true, s.num_places);
  take(s.sum, p.sum != nullptr, s.num_places * p.width);
  take(s.weighted_sum, p.weighted_sum != nullptr, s.num_places * p.width);
  take(s.max, p.max != nullptr, s.num_places * p.width);
  return s;
}

__global__ void __launch_bounds__(kPlanThreads)
    PlanSegmentsKernel(const int64_t* offsets, int32_t num_segments, ReduceScratch s) {
  const int64_t i = int64_t{blockIdx.x} * kPlanThreads + threadIdx.x;
  if (i < s.num_slots) {
    s.slots[i] = SegmentSlotAt(offsets, num_segments, i);
  } else if (i < s.num_slots + s.num_places) {
    s.segments[i - s.num_slots] = SegmentThatBeginsAt(offsets, num_segments, i - s.num_slots);
  }
}

// NaN wins.
__device__ __forceinline__ float LargerOrNan(float a, float b) { return b > a || b != b ? b : a; }

// Eight neighbouring values of rows of T, in flight.
template <typename T>
struct EightOf {
  uint4 v;
  __device__ __forceinline__ void Load(const void* rows, int64_t chunk) {
    v = LoadNow(rows, chunk);
  }
  __device__ __forceinline__ void Get(float out[8]) const { Unpack<T>(v, out); }
};
template <>
struct EightOf<float> {
  uint4 low, high;
  __device__ __forceinline__ void Load(const void* rows, int64_t chunk) {
    low = LoadNow(rows, 2 * chunk);
    high = LoadNow(rows, 2 * chunk + 1);
  }
  __device__ __forceinline__ void Get(float out[8]) const {
    const uint32_t words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    LONGSPAN_UNROLL
    for (int j = 0; j < 8; ++j) out[j] = FloatOfBits(words[j]);
  }
};

// The results of 8 columns of a chunk.
struct ChunkValues {
  double sum[8] = {};
  double weighted_sum[8] = {};
  float max[8];
};

// Adds kFloatGroup rows, of which those that are not read hold zeros in `x`.
template <bool kWeighted>
__device__ __forceinline__ void AddGroup(const float (&x)[kFloatGroup][8],
                                         const float (&weight)[kFloatGroup],
                                         const bool (&is_read)[kFloatGroup], ChunkValues& values) {
  static_assert(kFloatGroup == 4);
  LONGSPAN_UNROLL
  for (int j = 0; j < 8; ++j) {
    values.sum[j] += static_cast<double>((x[0][j] + x[1][j]) + (x[2][j] + x[3][j]));
    if constexpr (kWeighted) {
      const float first = fmaf(weight[1], x[1][j], weight[0] * x[0][j]);
      const float second = fmaf(weight[3], x[3][j], weight[2] * x[2][j]);
      values.weighted_sum[j] += static_cast<double>(first + second);
    }
    LONGSPAN_UNROLL
    for (int r = 0; r < kFloatGroup; ++r) {
      values.max[j] = is_read[r] ? LargerOrNan(values.max[j], x[r][j]) : values.max[j];
    }
  }
}

template <typename Element>
__device__ __forceinline__ void StoreEight(const Element (&values)[8], Element* to) {
  using Vector = std::conditional_t<std::is_same_v<Element, double>, double2, float4>;
  constexpr int kOfVector = static_cast<int>(sizeof(Vector) / sizeof(Element));
  LONGSPAN_UNROLL
  for (int i = 0; i < 8 / kOfVector; ++i) {
    Vector v;
    if constexpr (kOfVector == 2) {
      v = Vector{values[2 * i], values[2 * i + 1]};
    } else {
      v = Vector{values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]};
    }
    reinterpret_cast<Vector*>(to)[i] = v;
  }
}

template <typename T, bool kWeighted>
__global__ void __launch_bounds__(kReduceThreads)
    ReduceChunksKernel(SegmentReduceParams p, ReduceScratch s, int tiles) {
  constexpr int kAtATime = std::is_same_v<T, float> ? 4 : 8;  // rows whose loads are in flight
  const int64_t item = int64_t{blockIdx.x} * (kReduceThreads / kWarp) + threadIdx.x / kWarp;
  const int64_t slot_number = item / tiles;
  if (slot_number >= s.num_slots) return;
  const SegmentSlot slot = s.slots[slot_number];
  const int column = static_cast<int>(item % tiles) * kTileColumns + threadIdx.x % kWarp * 8;
  if (slot.rows == 0 || column >= p.width) return;

  ChunkValues values;
  LONGSPAN_UNROLL
  for (int j = 0; j < 8; ++j) values.max[j] = -INFINITY;
  const int64_t chunks = p.width / 8;
  for (int begin = 0; begin < slot.rows; begin += kAtATime) {
    // Behind the last row stand copies of it, which are not read.
    const auto row_at = [&](int r) {
      return slot.row + (begin + r < slot.rows ? begin + r : slot.rows - 1);
    };
    uint8_t read[kAtATime];
    LONGSPAN_UNROLL
    for (int r = 0; r < kAtATime; ++r) read[r] = 1;
    if (p.read != nullptr) {
      LONGSPAN_UNROLL
      for (int r = 0; r < kAtATime; ++r) read[r] = p.read[row_at(r)];
    }
    EightOf<T> in[kAtATime];
    LONGSPAN_UNROLL
    for (int r = 0; r < kAtATime; ++r) in[r].Load(p.rows, row_at(r) * chunks + column / 8);
    LONGSPAN_UNROLL
    for (int group = 0; group < kAtATime; group += kFloatGroup) {
      float x[kFloatGroup][8], weight[kFloatGroup] = {};
      bool is_read[kFloatGroup];
      LONGSPAN_UNROLL
      for (int r = 0; r < kFloatGroup; ++r) {
        is_read[r] = begin + group + r < slot.rows && read[group + r] != 0;
        if constexpr (kWeighted) weight[r] = p.weights[row_at(group + r)];
        if (!is_read[r]) weight[r] = 0.0F;  // it may be NaN
        in[group + r].Get(x[r]);
        LONGSPAN_UNROLL
        for (int j = 0; j < 8; ++j) x[r][j] = is_read[r] ? x[r][j] : 0.0F;
      }
      AddGroup<kWeighted>(x, weight, is_read, values);
    }
  }
  const bool is_whole = slot.target >= 0;
  const int64_t to = int64_t{is_whole ? slot.target : -1 - slot.target} * p.width + column;
  if (p.sum != nullptr) StoreEight(values.sum, (is_whole ? p.sum : s.sum) + to);
  if (kWeighted && p.weighted_sum != nullptr) {
    StoreEight(values.weighted_sum, (is_whole ? p.weighted_sum : s.weighted_sum) + to);
  }
  if (p.max != nullptr) StoreEight(values.max, (is_whole ? p.max : s.max) + to);
}

// out = what add() makes of parts[0 .. count), `stride` apart, by all warps of the block for 32
// columns. The order is fixed: warp w adds w, w + kCombineWarps, ..., and the first warp adds what
// the others have.
template <typename Element, typename Add>
__device__ __forceinline__ void CombineParts(const Element* parts, int64_t count, int64_t stride,
                                             Element start, Element* out, bool works, Add add) {
  Element* shared = reinterpret_cast<Element*>(LaunchedShared());  // [kCombineWarps, 32]
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  Element all = start;
  if (works) {
    LONGSPAN_UNROLL_BY(8)
    for (int64_t i = warp; i < count; i += kCombineWarps) all = add(all, parts[i * stride]);
  }
  shared[thread] = all;
  __syncthreads();
  if (warp == 0 && works) {
    LONGSPAN_UNROLL
    for (int w = 1; w < kCombineWarps; ++w) all = add(all, shared[w * kWarp + lane]);
    *out = all;
  }
  __syncthreads();
}

// Block (tile, i): the segments that begin at kPlacesOfBlock places.
__global__ void __launch_bounds__(kCombineWarps* kWarp)
    CombineChunksKernel(SegmentReduceParams p, ReduceScratch s) {
  const int64_t column = int64_t{blockIdx.x} * kWarp + threadIdx.x % kWarp;
  const bool works = column < p.width;
  for (int i = 0; i < kPlacesOfBlock; ++i) {
    const int64_t place = int64_t{blockIdx.y} * kPlacesOfBlock + i;
    const int32_t segment = place < s.num_places ? s.segments[place] : -1;
    if (segment < 0) continue;
    const int64_t count = NumSegmentChunks(p.offsets[segment + 1] - p.offsets[segment]);
    const int64_t from = place * p.width + column, to = int64_t{segment} * p.width + column;
    const auto add = [](double a, double b) { return a + b; };
    const auto larger = [](float a, float b) { return LargerOrNan(a, b); };
    if (p.sum != nullptr) {
      CombineParts(s.sum + from, count, p.width, 0.0, p.sum + to, works, add);
    }
    if (p.weighted_sum != nullptr) {
      CombineParts(s.weighted_sum + from, count, p.width, 0.0, p.weighted_sum + to, works, add);
    }
    if (p.max != nullptr) {
      CombineParts(s.max + from, count, p.width, -INFINITY, p.max + to, works, larger);
    }
  }
}

template <typename T>
cudaError_t ReduceChunks(const SegmentReduceParams& p, const ReduceScratch& s,
                         cudaStream_t stream) {
  constexpr int kWarps = kReduceThreads / kWarp;
  const int tiles = (p.width + kTileColumns - 1) / kTileColumns;
  const int64_t blocks = (s.num_slots * tiles + kWarps - 1) / kWarps;
  if (blocks > 0x7fffffff) return cudaErrorInvalidValue;
  const auto kernel =
      p.weighted_sum != nullptr ? ReduceChunksKernel<T, true> : ReduceChunksKernel<T, false>;
  return Launch(kernel, dim3(static_cast<unsigned>(blocks)), kReduceThreads, 0, stream, p, s,
                tiles);
}

cudaError_t ReduceChunks(const SegmentReduceParams& p, const ReduceScratch& s,
                         cudaStream_t stream) {
  switch (p.type) {
    case RowType::kBfloat16:
      return ReduceChunks<__nv_bfloat16>(p, s, stream);
    case RowType::kFloat16:
      return ReduceChunks<__half>(p, s, stream);
    case RowType::kFloat32:
      return ReduceChunks<float>(p, s, stream);
  }
  return cudaErrorInvalidValue;
}

bool AreValid(const SegmentReduceParams& p) {
  return p.num_segments >= 1 && p.num_rows >= p.num_segments &&
         p.num_rows <= int64_t{kSegmentChunk} << 18 && p.width >= 8 && p.width % 8 == 0 &&
         AreAligned(p.rows, p.sum, p.weighted_sum, p.max, p.scratch) &&
         (p.weighted_sum == nullptr || p.weights != nullptr);
}

}  // namespace

size_t SegmentReduceScratch(const SegmentReduceParams& p) {
  return AreValid(p) ? ScratchOf(p).bytes : 0;
}

cudaError_t SegmentReduce(const SegmentReduceParams& p, cudaStream_t stream) {
  if (!AreValid(p)) return cudaErrorInvalidValue;
  const ReduceScratch s = ScratchOf(p);
  if (p.scratch == nullptr || p.scratch_bytes < s.bytes) return cudaErrorInvalidValue;
  const int64_t planned = s.num_slots + s.num_places;
  cudaError_t error = Launch(
      PlanSegmentsKernel, dim3(static_cast<unsigned>((planned + kPlanThreads - 1) / kPlanThreads)),
      kPlanThreads, 0, stream, p.offsets, p.num_segments, s);
  if (error != cudaSuccess) return error;
  error = ReduceChunks(p, s, stream);
  if (error != cudaSuccess || s.num_places == 0) return error;
  const dim3 grid(static_cast<unsigned>((p.width + kWarp - 1) / kWarp),
                  static_cast<unsigned>((s.num_places + kPlacesOfBlock - 1) / kPlacesOfBlock));
  return Launch(CombineChunksKernel, grid, kCombineWarps * kWarp,
                kCombineWarps * kWarp * static_cast<int>(sizeof(double)), stream, p, s);
}

}  // namespace longspan::cuda
