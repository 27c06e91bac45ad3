// Hashing in plain float32. A block multiplies 128 tokens by kSub * 32 columns at a time: a thread
// has 8 tokens and 4 columns of each tile of 32. The tokens' transposed copy and the rotations lie
// in shared memory.
#pragma once

#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/lsh_index.h"
#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {

inline constexpr int kHashTokens = 128;  // of a block; as many threads
inline constexpr int kHashPitch = kHashTokens + 4;
inline constexpr int kHashGroup = 8;  // tokens of a thread; as many threads share them
template <int kD, int kSub>
inline constexpr int kHashShared = kD * (kHashPitch + kSub * kHashColumns) * 4;

template <int kD, int kSub, bool kBfloat16>
__global__ void __launch_bounds__(kHashTokens, kD <= 64 ? 3 : 1)
    LshHashPlainKernel(LshHashParams p) {
  uint8_t* shared = LaunchedShared();
  float* x = reinterpret_cast<float*>(shared);  // [kD, kHashPitch]
  float* r = x + kD * kHashPitch;               // [kD, kSub * 32]
  const int thread = static_cast<int>(threadIdx.x), head = static_cast<int>(blockIdx.y);
  const int group = thread / kHashGroup, lane = thread % kHashGroup;
  const int32_t num_buckets = NumBuckets(p.factors);
  const int32_t buckets_a_round = BucketsARound(num_buckets, p.key_mask != nullptr);
  const int tiles = p.num_rounds * RoundTiles(p.factors);
  const int columns = tiles * kHashColumns;
  const float* rotations =
      static_cast<const float*>(p.rotations) + int64_t{1} * head * kD * columns;
  bool loaded = false;
  for (int64_t base = int64_t{blockIdx.x} * kHashTokens; base < p.num_rows;
       base += int64_t{gridDim.x} * kHashTokens) {
    __syncthreads();  // the block before is done with x and r
    const int64_t row = base + thread;
    const int64_t from = (row < p.num_rows ? row : base) * p.x_stride + int64_t{1} * head * kD;
    if constexpr (kBfloat16) {
      const uint4* source =
          reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(p.x) + from);
      LONGSPAN_UNROLL
      for (int c = 0; c < kD / 8; ++c) {
        const uint4 unit = source[c];
        const uint32_t pairs[4] = {unit.x, unit.y, unit.z, unit.w};
        LONGSPAN_UNROLL
        for (int i = 0; i < 4; ++i) {
          x[(c * 8 + 2 * i) * kHashPitch + thread] = LowBfloat16(pairs[i]);
          x[(c * 8 + 2 * i + 1) * kHashPitch + thread] = HighBfloat16(pairs[i]);
        }
      }
    } else {
      const float4* source = reinterpret_cast<const float4*>(static_cast<const float*>(p.x) + from);
      LONGSPAN_UNROLL
      for (int c = 0; c < kD / 4; ++c) {
        const float4 unit = source[c];
        x[(c * 4 + 0) * kHashPitch + thread] = unit.x;
        x[(c * 4 + 1) * kHashPitch + thread] = unit.y;
        x[(c * 4 + 2) * kHashPitch + thread] = unit.z;
        x[(c * 4 + 3) * kHashPitch + thread] = unit.w;
      }
    }
    // The token whose keys this thread writes.
    const int64_t own_row = base + group * kHashGroup + lane;
    int32_t own_text = 0;
    bool hashed = false, read = true;
    if (own_row < p.num_rows) {
      own_text = p.row_text[own_row];
      hashed = IsCut(p.text_begin[own_text + 1] - p.text_begin[own_text], p.chunk_length);
      read = !p.key_mask || p.key_mask[own_row] != 0;
    }
    BestDirection best[kHashGroup];
    int32_t bucket[kHashGroup] = {};
    for (int first = 0; first < tiles; first += kSub) {
      if (first > 0) __syncthreads();  // the columns before are read
      if (!loaded || tiles > kSub) {
        for (int i = thread; i < kD * kSub * 8; i += kHashTokens) {
          const int k = i / (kSub * 8), unit = i - k * (kSub * 8);
          *reinterpret_cast<float4*>(r + k * (kSub * kHashColumns) + unit * 4) =
              *reinterpret_cast<const float4*>(rotations + int64_t{1} * k * columns +
                                               first * kHashColumns + unit * 4);
        }
        loaded = true;
      }
      __syncthreads();
      float y[kHashGroup][kSub][4] = {};
      LONGSPAN_UNROLL_BY(4)
      for (int k = 0; k < kD; ++k) {
        const float4 x0 = *reinterpret_cast<const float4*>(x + k * kHashPitch + group * kHashGroup);
        const float4 x1 =
            *reinterpret_cast<const float4*>(x + k * kHashPitch + group * kHashGroup + 4);
        const float xs[kHashGroup] = {x0.x, x0.y, x0.z, x0.w, x1.x, x1.y, x1.z, x1.w};
        LONGSPAN_UNROLL
        for (int j = 0; j < kSub; ++j) {
          const float4 c = *reinterpret_cast<const float4*>(r + k * (kSub * kHashColumns) +
                                                            j * kHashColumns + lane * 4);
          LONGSPAN_UNROLL
          for (int t = 0; t < kHashGroup; ++t) {
            y[t][j][0] = fmaf(xs[t], c.x, y[t][j][0]);
            y[t][j][1] = fmaf(xs[t], c.y, y[t][j][1]);
            y[t][j][2] = fmaf(xs[t], c.z, y[t][j][2]);
            y[t][j][3] = fmaf(xs[t], c.w, y[t][j][3]);
          }
        }
      }
      LONGSPAN_UNROLL
      for (int j = 0; j < kSub; ++j) {
        const HashTile tile = FindHashTile(p.factors, first + j);
        LONGSPAN_UNROLL
        for (int t = 0; t < kHashGroup; ++t) {
          if (tile.opens_round) bucket[t] = 0;
          if (tile.opens_factor) best[t] = BestDirection();
          LONGSPAN_UNROLL
          for (int i = 0; i < 4; ++i) {
            MeetColumn(best[t], y[t][j][i], tile.first + lane * 4 + i, tile.half);
          }
        }
        if (tile.closes_factor) {
          LONGSPAN_UNROLL
          for (int t = 0; t < kHashGroup; ++t) {
            LONGSPAN_UNROLL
            for (int mask = 1; mask < kHashGroup; mask *= 2) {
              const float value = __shfl_xor_sync(~0U, best[t].value, mask);
              const int32_t index = __shfl_xor_sync(~0U, best[t].index, mask);
              Meet(best[t], value, index);
            }
            bucket[t] += tile.place * best[t].index;
          }
        }
        if (tile.closes_round && own_row < p.num_rows) {
          int32_t own = 0;
          LONGSPAN_UNROLL
          for (int t = 0; t < kHashGroup; ++t) own = t == lane ? bucket[t] : own;
          own = !hashed ? 0 : !read ? num_buckets : own;
          p.keys[(int64_t{1} * head * p.num_rounds + tile.round) * p.num_rows + own_row] =
              SortKey(head, tile.round, own_text, own, p.num_rounds, p.num_texts, buckets_a_round);
        }
      }
    }
  }
}

}  // namespace longspan::cuda
