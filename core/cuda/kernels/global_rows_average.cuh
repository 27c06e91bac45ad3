// Averages of rows for the queries of global tokens (global_rows.h).
//
// A block has 16 queries and goes over the rows of its chunk in tiles. The columns are shared out
// among the warps, for both products: a warp copies its columns of a tile, multiplies them with its
// columns of u, which it holds in registers, and its part of the scores goes to shared memory. Then
// warp i sums the scores of query i and makes weights of them, and each warp adds the weighted rows
// to the averages of its columns:
//
//            columns 0..47            columns 48..95       ...     (E = 768)
//   warp 0   u . hidden      warp 1   u . hidden          ...
//            scores [16, rows], a part of the sum from each warp
//   warp 0   weights of query 0   warp 1   weights of query 1   ...
//            weights [16, rows]
//   warp 0   averages [16, 48] += weights hidden           ...
//
// So each element of a tile is read from memory once, and nobody but its warp waits for it. The
// softmax is online (maximum, sum, rescaled averages; FlashAttention-2, arXiv 2307.08691, sec.
// 3.1), and chunks are merged as in flash decoding. Both products are of matrices by tensor cores,
// with float32 sums; u and the weights go there in pieces (bfloat16_pieces.cuh).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/bfloat16_pieces.cuh"
#include "core/cuda/kernels/global_rows.h"

namespace longspan::cuda {

inline constexpr int kRowsWarps = 16, kRowsThreads = 32 * kRowsWarps;
static_assert(kGlobalRowsQueries == kRowsWarps);
inline constexpr int kWeightPieces = 2;
inline constexpr float kLog2OfE = 1.4426950408889634F;

// bfloat16 pieces have 8 bits, float16 pieces 11.
template <typename T>
constexpr int kQueryPieces = std::is_same_v<T, __nv_bfloat16> ? 3 : 2;
// float16 has small exponents only: queries are multiplied by powers of two, so that their largest
// elements come close to 2^14, and small ones keep their bits. Weights are at most 1; what their
// pieces leave out is below 2^-25, as what a float32 sum near 1 leaves out.
template <typename T>
constexpr bool kIsScaled = !std::is_same_v<T, __nv_bfloat16>;

// The shared memory of a block. A warp has kSteps times 16 columns; columns behind E are zeros.
// Rows lie apart by such numbers that neighbours are in different banks: an odd number of units of
// 16 bytes, or 8 floats more than a multiple of 16.
template <int kSteps, int kRows>
struct RowsShared {
  static constexpr int kTilePitch = 2 * kSteps + 1;   // units
  static constexpr int kScorePitch = kRows + 8;       // floats
  static constexpr int kWeightPitch = kRows / 8 + 1;  // units

  // The tile at hand and the next one: each warp's columns of each row.
  uint4 tiles[2][kRowsWarps][kRows * kTilePitch];
  float scores[kRowsWarps][kGlobalRowsQueries * kScorePitch];  // over each warp's columns
  uint4 weights[kWeightPieces][kGlobalRowsQueries * kWeightPitch];
  float factors[kGlobalRowsQueries];   // by which the averages shrink
  float divisors[kGlobalRowsQueries];  // 1 / sum of the weights
};

__device__ __forceinline__ float PowerOfTwo(int exponent) {  // -126 to 127
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

// The exponent of the power of two that brings numbers up to `largest` below 2^14.
__device__ __forceinline__ int ScalingExponent(float largest) {
  const int exponent = static_cast<int>(std::bit_cast<uint32_t>(largest) >> 23 & 0xff) - 127;
  return exponent < -113 ? 126 : 13 - exponent;
}

template <int kFirstMask>
__device__ __forceinline__ float MaximumOfLanes(float x) {
  LONGSPAN_UNROLL
  for (int mask = kFirstMask; mask > 0; mask /= 2) x = fmaxf(x, __shfl_xor_sync(~0U, x, mask));
  return x;
}
__device__ __forceinline__ float SumOfLanes(float x) {
  LONGSPAN_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(~0U, x, mask);
  return x;
}

// A part's largest score of each query, in units of log2(e), and its sum of weights, which are
// powers of two of differences to that score. Its rows follow behind those of all parts.
__device__ __forceinline__ float2* PartSums(const GlobalRowsParams& p, int part) {
  return static_cast<float2*>(p.scratch) + int64_t{part} * kGlobalRowsQueries;
}
__device__ __forceinline__ float* PartRow(const GlobalRowsParams& p, int part, int query) {
  return reinterpret_cast<float*>(PartSums(p, p.num_parts)) +
         (int64_t{part} * kGlobalRowsQueries + query) * p.width;
}

// Begins to copy this warp's columns of the tile at `first_row`. Rows whose bit in `read` is not
// set become zeros.
template <int kSteps, int kRows>
__device__ __forceinline__ void CopyTile(const GlobalRowsParams& p, int first_row, uint32_t read,
                                         uint4* tile) {
  constexpr int kWarpUnits = 2 * kSteps;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const auto* hidden = static_cast<const uint16_t*>(p.hidden);
  LONGSPAN_UNROLL
  for (int step = 0; step < kSteps; ++step) {  // through 16 rows, of which there are kRows / 16
    const int i = step * 32 + lane;
    const int unit = warp * kWarpUnits + i % kWarpUnits;
    LONGSPAN_UNROLL
    for (int rows = 0; rows < kRows; rows += 16) {
      const int row = rows + i / kWarpUnits;
      const bool wanted = (read >> row & 1) != 0 && unit * 8 < p.width;
      const int64_t from = int64_t{first_row + row} * p.width + unit * 8;
      CopyAsync16(tile + row * RowsShared<kSteps, kRows>::kTilePitch + i % kWarpUnits,
                  hidden + (wanted ? from : 0), wanted);
    }
  }
  CopyCommit();
}

// This warp's columns of the block's queries.
template <typename T, int kSteps>
struct RowsQueries {
  uint32_t pieces[kQueryPieces<T>][kSteps][4];  // as MultiplyAdd takes them
  float scales[2];  // of the scores of queries lane / 4 and lane / 4 + 8

  __device__ __forceinline__ void Load(const GlobalRowsParams& p, const GlobalRowsTile& tile) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    LONGSPAN_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int query = half * 8 + lane / 4;
      const bool exists = query < tile.count;
      const float* row = p.u + GlobalRowsQuery(tile, exists ? query : 0, p.num_globals) * p.width;
      float2 values[2 * kSteps];
      float largest = 0.0F;
      LONGSPAN_UNROLL
      for (int n = 0; n < 2 * kSteps; ++n) {
        const int column = (warp * 2 * kSteps + n) * 8 + lane % 4 * 2;
        values[n] = float2{0.0F, 0.0F};
        if (exists && column < p.width) values[n] = *reinterpret_cast<const float2*>(row + column);
        largest = fmaxf(largest, fmaxf(fabsf(values[n].x), fabsf(values[n].y)));
      }
      const int exponent = kIsScaled<T> ? ScalingExponent(MaximumOfLanes<2>(largest)) : 0;
      const float scale = PowerOfTwo(exponent);
      scales[half] = PowerOfTwo(-exponent);
      LONGSPAN_UNROLL
      for (int n = 0; n < 2 * kSteps; ++n) {
        uint32_t split[kQueryPieces<T>];
        SplitPair<T>(values[n].x * scale, values[n].y * scale, split);
        LONGSPAN_UNROLL
        for (int piece = 0; piece < kQueryPieces<T>; ++piece) {
          pieces[piece][n / 2][n % 2 * 2 + half] = split[piece];
        }
      }
    }
  }
};

// Writes this warp's part of the scores of a tile.
template <typename T, int kSteps, int kRows>
__device__ __forceinline__ void MultiplyQueries(RowsShared<kSteps, kRows>& shared,
                                                const uint4* tile,
                                                const RowsQueries<T, kSteps>& u) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  LONGSPAN_UNROLL
  for (int rows = 0; rows < kRows; rows += 16) {
    float s[2][4] = {};
    LONGSPAN_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      uint32_t b[4];
      LoadMatrices(b, tile + (rows + lane / 16 * 8 + lane % 8) * shared.kTilePitch + step * 2 +
                          lane / 8 % 2);
      LONGSPAN_UNROLL
      for (int piece = kQueryPieces<T> - 1; piece >= 0; --piece) {
        MultiplyAdd<T>(s[0], u.pieces[piece][step], b[0], b[1]);
        MultiplyAdd<T>(s[1], u.pieces[piece][step], b[2], b[3]);
      }
    }
    LONGSPAN_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int n = i / 2, half = i % 2;
      const int place = (half * 8 + lane / 4) * shared.kScorePitch + rows + n * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(shared.scores[warp] + place) =
          float2{s[n][2 * half] * u.scales[half], s[n][2 * half + 1] * u.scales[half]};
    }
  }
}

// The softmax of one query, by its warp; a lane has one row of each tile.
struct RowsSoftmax {
  float maximum = -INFINITY;  // in units of log2(e)
  float sum = 0.0F;           // of this lane's weights

  // Meets the scores of a tile. Rows that are not read weigh nothing.
  template <typename T, int kSteps, int kRows>
  __device__ __forceinline__ void Meet(RowsShared<kSteps, kRows>& shared, uint32_t read) {
    const int query = static_cast<int>(threadIdx.x) / 32;
    const int row = static_cast<int>(threadIdx.x) % 32;
    float score = -INFINITY;
    if ((read >> row & 1) != 0) {
      float product = 0.0F;
      LONGSPAN_UNROLL
      for (int w = 0; w < kRowsWarps; ++w)
        product += shared.scores[w][query * shared.kScorePitch + row];
      score = product * kLog2OfE;
    }
    const float highest = fmaxf(maximum, MaximumOfLanes<16>(score));
    // Until a row was read all scores are -infinity, and so is their maximum.
    const float base = highest == -INFINITY ? 0.0F : highest;
    const float factor = Exp2(maximum - base);
    const float weight = Exp2(score - base);
    maximum = highest;
    sum = sum * factor + weight;
    if (row == 0) shared.factors[query] = factor;
    if (row >= kRows) return;
    uint32_t pieces[kWeightPieces];
    SplitPair<T>(weight, 0.0F, pieces);
    LONGSPAN_UNROLL
    for (int piece = 0; piece < kWeightPieces; ++piece) {
      auto* units = reinterpret_cast<uint16_t*>(shared.weights[piece]);
      units[query * shared.kWeightPitch * 8 + row] = static_cast<uint16_t>(pieces[piece]);
    }
  }
};

// averages = averages * factors + weights tile, for this warp's columns.
template <typename T, int kSteps, int kRows>
__device__ __forceinline__ void AddWeighted(const RowsShared<kSteps, kRows>& shared,
                                            const uint4* tile, float (&averages)[2 * kSteps][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const float factors[2] = {shared.factors[lane / 4], shared.factors[lane / 4 + 8]};
  LONGSPAN_UNROLL
  for (int n = 0; n < 2 * kSteps; ++n) {
    LONGSPAN_UNROLL
    for (int i = 0; i < 4; ++i) averages[n][i] *= factors[i / 2];
  }
  LONGSPAN_UNROLL
  for (int rows = 0; rows < kRows; rows += 16) {
    uint32_t weights[kWeightPieces][4];
    LONGSPAN_UNROLL
    for (int piece = 0; piece < kWeightPieces; ++piece) {
      LoadMatrices(weights[piece],
                   shared.weights[piece] + lane % 16 * shared.kWeightPitch + rows / 8 + lane / 16);
    }
    LONGSPAN_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      uint32_t b[4];
      LoadMatricesTransposed(b,
                             tile + (rows + lane % 16) * shared.kTilePitch + step * 2 + lane / 16);
      LONGSPAN_UNROLL
      for (int piece = kWeightPieces - 1; piece >= 0; --piece) {
        MultiplyAdd<T>(averages[2 * step], weights[piece], b[0], b[1]);
        MultiplyAdd<T>(averages[2 * step + 1], weights[piece], b[2], b[3]);
      }
    }
  }
}

// Writes this warp's columns: the averages themselves, or a part.
template <int kSteps, int kRows>
__device__ __forceinline__ void StoreAverages(const GlobalRowsParams& p,
                                              const GlobalRowsBlock& block,
                                              const RowsShared<kSteps, kRows>& shared,
                                              const float (&averages)[2 * kSteps][4]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  LONGSPAN_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int query = half * 8 + lane / 4;
    if (query >= block.queries.count) continue;
    const bool is_part = block.part >= 0;
    float* row = is_part
                     ? PartRow(p, block.part, query)
                     : p.averages + GlobalRowsQuery(block.queries, query, p.num_globals) * p.width;
    const float by = is_part ? 1.0F : shared.divisors[query];
    LONGSPAN_UNROLL
    for (int n = 0; n < 2 * kSteps; ++n) {
      const int column = (warp * 2 * kSteps + n) * 8 + lane % 4 * 2;
      if (column >= p.width) continue;
      *reinterpret_cast<float2*>(row + column) =
          float2{averages[n][2 * half] * by, averages[n][2 * half + 1] * by};
    }
  }
}

template <typename T, int kSteps, int kRows>
__global__ void __launch_bounds__(kRowsThreads, 1) AverageRowsKernel(GlobalRowsParams p) {
  using Shared = RowsShared<kSteps, kRows>;
  Shared& shared = *reinterpret_cast<Shared*>(LaunchedShared());
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const GlobalRowsBlock block = p.blocks[blockIdx.x];
  const int tiles = (block.row_end - block.row_begin + kRows - 1) / kRows;
  const auto is_read = [&](int tile) {  // row `lane` of the tile
    const int row = block.row_begin + tile * kRows + lane;
    return lane < kRows && row < block.row_end && (!p.read || p.read[row] != 0);
  };
  const auto copy = [&](int tile, uint32_t read) {
    CopyTile<kSteps, kRows>(p, block.row_begin + tile * kRows, read, shared.tiles[tile & 1][warp]);
  };

  uint32_t read = __ballot_sync(~0U, is_read(0));
  copy(0, read);
  bool next_is_read = is_read(1);  // loaded one tile before it is asked for
  RowsQueries<T, kSteps> u;
  u.Load(p, block.queries);
  RowsSoftmax softmax;
  float averages[2 * kSteps][4] = {};
  for (int tile = 0; tile < tiles; ++tile) {
    const uint32_t next_read = __ballot_sync(~0U, next_is_read);
    copy(tile + 1, next_read);
    next_is_read = is_read(tile + 2);
    CopyWait<1>();
    __syncwarp();
    MultiplyQueries<T>(shared, shared.tiles[tile & 1][warp], u);
    __syncthreads();
    softmax.Meet<T>(shared, read);
    __syncthreads();
    AddWeighted<T>(shared, shared.tiles[tile & 1][warp], averages);
    read = next_read;
    __syncwarp();  // all lanes have read the tile, which the next copies overwrite
  }
  CopyWait<0>();

  const float sum = SumOfLanes(softmax.sum);
  if (lane == 0 && block.part < 0) shared.divisors[warp] = sum == 0.0F ? 0.0F : 1.0F / sum;
  if (lane == 0 && block.part >= 0) {
    PartSums(p, block.part)[warp] = float2{softmax.maximum, sum};
  }
  __syncthreads();
  StoreAverages(p, block, shared, averages);
}

}  // namespace longspan::cuda
