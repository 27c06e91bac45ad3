// Hashing on tensor cores, as products of bfloat16 pieces. A warp has 16 * kRowTiles tokens in
// registers and meets one tile of 32 columns after the other; as many tiles as fit
// (`group_tiles`) lie in shared memory at once.
#pragma once

#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/bfloat16_pieces.cuh"
#include "core/cuda/kernels/lsh_index.h"
#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {

inline constexpr int kTensorHashWarps = 8;

template <int kD, int kRowTiles, bool kBfloat16>
__global__ void __launch_bounds__(kTensorHashWarps * 32, kD <= 64 ? 2 : 1)
    LshHashTensorKernel(LshHashParams p, int group_tiles) {
  constexpr int kThreads = kTensorHashWarps * 32, kTokens = kTensorHashWarps * 16 * kRowTiles;
  constexpr int kXPieces = kBfloat16 ? 1 : 3;
  uint4* columns = reinterpret_cast<uint4*>(LaunchedShared());  // [group_tiles, kPieceUnits]
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int head = static_cast<int>(blockIdx.y);
  const int32_t num_buckets = NumBuckets(p.factors);
  const int32_t buckets_a_round = BucketsARound(num_buckets, p.key_mask != nullptr);
  const int tiles = p.num_rounds * RoundTiles(p.factors);
  const uint4* pieces =
      static_cast<const uint4*>(p.rotations) + int64_t{1} * head * tiles * kPieceUnits<kD>;
  bool loaded = false;
  for (int64_t block_row = int64_t{blockIdx.x} * kTokens; block_row < p.num_rows;
       block_row += int64_t{gridDim.x} * kTokens) {
    const int64_t base = block_row + warp * 16 * kRowTiles;
    uint32_t x[kRowTiles][kXPieces][kD / 16][4];
    LONGSPAN_UNROLL
    for (int m = 0; m < kRowTiles; ++m) {
      LONGSPAN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int64_t row = base + m * 16 + half * 8 + lane / 4;
        const int64_t from = (row < p.num_rows ? row : block_row) * p.x_stride +
                             int64_t{1} * head * kD + lane % 4 * 8;
        LONGSPAN_UNROLL
        for (int step = 0; step < kD / 32; ++step) {
          if constexpr (kBfloat16) {
            const uint4 unit = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(p.x) +
                                                               from + step * 32);
            x[m][0][2 * step][half] = unit.x;
            x[m][0][2 * step][2 + half] = unit.y;
            x[m][0][2 * step + 1][half] = unit.z;
            x[m][0][2 * step + 1][2 + half] = unit.w;
          } else {
            const float4* source =
                reinterpret_cast<const float4*>(static_cast<const float*>(p.x) + from + step * 32);
            const float4 first = source[0], second = source[1];
            const float numbers[8] = {first.x,  first.y,  first.z,  first.w,
                                      second.x, second.y, second.z, second.w};
            LONGSPAN_UNROLL
            for (int w = 0; w < 4; ++w) {
              uint32_t split[3];
              SplitPair(numbers[2 * w], numbers[2 * w + 1], split);
              LONGSPAN_UNROLL
              for (int piece = 0; piece < kXPieces; ++piece) {
                x[m][piece][2 * step + w / 2][w % 2 * 2 + half] = split[piece];
              }
            }
          }
        }
      }
    }
    // The token whose keys this lane writes: lanes of four take the rows of the tiles in turn.
    const int own_tile = lane % 4 / 2, own_half = lane % 2;
    const int64_t own_row = base + own_tile * 16 + own_half * 8 + lane / 4;
    const bool owns = own_tile < kRowTiles && own_row < p.num_rows;
    int32_t own_text = 0;
    bool hashed = false, read = true;
    if (owns) {
      own_text = p.row_text[own_row];
      hashed = IsCut(p.text_begin[own_text + 1] - p.text_begin[own_text], p.chunk_length);
      read = !p.key_mask || p.key_mask[own_row] != 0;
    }
    BestDirection best[kRowTiles][2];
    int32_t bucket[kRowTiles][2] = {};
    for (int first = 0; first < tiles; first += group_tiles) {
      const int last = first + group_tiles < tiles ? first + group_tiles : tiles;
      if (!loaded || tiles > group_tiles) {
        __syncthreads();  // the columns before are read
        for (int i = thread; i < (last - first) * kPieceUnits<kD>; i += kThreads) {
          columns[i] = pieces[first * kPieceUnits<kD> + i];
        }
        __syncthreads();
        loaded = true;
      }
      for (int t = first; t < last; ++t) {
        const uint4* tile_columns = columns + (t - first) * kPieceUnits<kD> + lane;
        float y[kRowTiles][4][4] = {};
        LONGSPAN_UNROLL
        for (int piece = 2; piece >= 0; --piece) {
          LONGSPAN_UNROLL
          for (int step = 0; step < kD / 32; ++step) {
            LONGSPAN_UNROLL
            for (int n = 0; n < 4; ++n) {
              const uint4 b = tile_columns[((step * 4 + n) * 3 + piece) * 32];
              LONGSPAN_UNROLL
              for (int xp = kBfloat16 ? 0 : 2 - piece; xp >= 0; --xp) {
                LONGSPAN_UNROLL
                for (int m = 0; m < kRowTiles; ++m) {
                  MultiplyAdd(y[m][n], x[m][xp][2 * step], b.x, b.y);
                  MultiplyAdd(y[m][n], x[m][xp][2 * step + 1], b.z, b.w);
                }
              }
            }
          }
        }
        const HashTile tile = FindHashTile(p.factors, t);
        LONGSPAN_UNROLL
        for (int m = 0; m < kRowTiles; ++m) {
          LONGSPAN_UNROLL
          for (int half = 0; half < 2; ++half) {
            if (tile.opens_round) bucket[m][half] = 0;
            if (tile.opens_factor) best[m][half] = BestDirection();
            LONGSPAN_UNROLL
            for (int n = 0; n < 4; ++n) {
              LONGSPAN_UNROLL
              for (int i = 0; i < 2; ++i) {
                MeetColumn(best[m][half], y[m][n][2 * half + i],
                           tile.first + n * 8 + lane % 4 * 2 + i, tile.half);
              }
            }
            if (tile.closes_factor) {
              LONGSPAN_UNROLL
              for (int mask = 1; mask < 4; mask *= 2) {
                const float value = __shfl_xor_sync(~0U, best[m][half].value, mask);
                const int32_t index = __shfl_xor_sync(~0U, best[m][half].index, mask);
                Meet(best[m][half], value, index);
              }
              bucket[m][half] += tile.place * best[m][half].index;
            }
          }
        }
        if (tile.closes_round && owns) {
          int32_t own = 0;
          LONGSPAN_UNROLL
          for (int m = 0; m < kRowTiles; ++m) {
            LONGSPAN_UNROLL
            for (int half = 0; half < 2; ++half) {
              own = m == own_tile && half == own_half ? bucket[m][half] : own;
            }
          }
          own = !hashed ? 0 : !read ? num_buckets : own;
          p.keys[(int64_t{1} * head * p.num_rounds + tile.round) * p.num_rows + own_row] =
              SortKey(head, tile.round, own_text, own, p.num_rounds, p.num_texts, buckets_a_round);
        }
      }
    }
  }
}

}  // namespace longspan::cuda
