// Attention of chunks, of rows or of sorted slots. A block has 16 queries for each warp and walks
// through the keys of its chunk in tiles of 64, two of which are in shared memory or under way. The
// softmax is online (maximum, sum, rescaled output; FlashAttention-2, arXiv 2307.08691, sec. 3.1).
// Scores, maxima and sums are float32; probabilities are rounded to bfloat16. Slots are looked up
// and rows gathered here, and results are written to the rows they belong to, so that no sorted
// copy of q, k, v or of the results exists.
#include <cmath>
#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/lsh_index.h"
#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {
namespace {

constexpr int kTileKeys = 64;

// Warps that a multiprocessor shall hold, which bounds the registers of a thread (16: 128, 12: 168,
// 8: 255). Measured on an H200 with 524,288 tokens, 2 heads of 64 and chunks of 64: with 16 warps
// a local layer takes 0.526 ns a token; an LSH layer takes 0.752 with 16 and 0.710 with 12.
template <int kD, bool kLsh>
constexpr int kChunkWarps = kD > 64 ? 8
                            : kLsh  ? 12
                                    : 16;

template <int kD, int kWarps>
constexpr int kChunkShared =  // bytes

    (16 * kWarps + 4 * kTileKeys) * kD * 2 + 16 * kWarps * 4 + 2 * 3 * kTileKeys * 4;

// Block (i, head, round) has queries of chunk i / query_tiles.
template <int kD, int kWarps, bool kLsh>
__global__ void __launch_bounds__(kWarps * 32, kChunkWarps<kD, kLsh> / kWarps)
    ChunkAttentionKernel(ChunkAttentionParams p, int query_tiles) {
  constexpr int kQueries = 16 * kWarps, kThreads = 32 * kWarps, kUnits = kD / 8;
  uint8_t* shared = LaunchedShared();
  uint4* queries = reinterpret_cast<uint4*>(shared);  // [kQueries, kUnits], swizzled
  uint4* stages = queries + kQueries * kUnits;        // [2][keys, values][kTileKeys, kUnits]
  int32_t* query_rows = reinterpret_cast<int32_t*>(stages + 4 * kTileKeys * kUnits);
  int32_t* key_rows = query_rows + kQueries;         // [2][kTileKeys], -1 behind the last key
  int32_t* visible_from = key_rows + 2 * kTileKeys;  // [2][kTileKeys]
  float* scales = reinterpret_cast<float*>(visible_from + 2 * kTileKeys);  // [2][kTileKeys]

  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int block = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y), round = static_cast<int>(blockIdx.z);
  const int which = block / query_tiles;
  const int first_query = (block - which * query_tiles) * kQueries;
  const ChunkOfText chunk = p.chunks[which];
  const int32_t row_begin = p.text_begin[chunk.text];
  const ChunkView view =
      ViewChunk(row_begin, p.text_begin[chunk.text + 1] - row_begin, chunk.chunk, head, round,
                p.num_rounds, p.num_rows, p.chunk_length, p.chunks_before, p.chunks_after);
  if (first_query >= view.length) return;  // a short text's chunk
  // Where row t's lse lies: at t * lse_row + lse_head.
  const int32_t lse_row = p.num_heads * p.num_rounds;
  const int64_t lse_head = int64_t{1} * head * p.num_rounds + round;
  if (view.num_keys == 0) {
    for (int i = first_query + thread; p.lse && i < view.length && i < first_query + kQueries;
         i += kThreads) {
      p.lse[int64_t{1} * (view.row_begin + i) * lse_row + lse_head] = -INFINITY;
    }
    return;
  }
  const int tiles = (view.num_keys + kTileKeys - 1) / kTileKeys;
  const float scale2 = kLog2E / sqrtf(static_cast<float>(kD));

  const auto find_keys = [&](int tile) {
    int32_t* rows = key_rows + (tile & 1) * kTileKeys;
    int32_t* visible = visible_from + (tile & 1) * kTileKeys;
    for (int i = thread; i < kTileKeys; i += kThreads) {
      const int j = tile * kTileKeys + i;
      int32_t row = -1, from = kNeverVisible;
      if (j < view.num_keys) {
        row = RowAt(view, p.order, KeySlot(view, j));
        from = VisibleFrom(!p.key_mask || p.key_mask[row] != 0, p.causal, row);
      }
      rows[i] = row;
      visible[i] = from;
    }
  };
  const auto copy_keys = [&](int tile) {
    const int32_t* rows = key_rows + (tile & 1) * kTileKeys;
    uint4* keys = stages + (tile & 1) * 2 * kTileKeys * kUnits;
    uint4* values = keys + kTileKeys * kUnits;
    LONGSPAN_UNROLL
    for (int step = 0; step < kTileKeys * kUnits / kThreads; ++step) {
      const int i = step * kThreads + thread, place = i / kUnits, unit = i % kUnits;
      const int32_t row = rows[place];
      const int64_t valid_row = row < 0 ? 0 : row;
      const int to = SwizzledUnit<kD>(place, unit);
      const int from = head * kD + unit * 8;
      CopyAsync16(keys + to, static_cast<const uint16_t*>(p.k) + valid_row * p.k_stride + from,
                  row >= 0);
      CopyAsync16(values + to, static_cast<const uint16_t*>(p.v) + valid_row * p.v_stride + from,
                  row >= 0);
    }
    CopyCommit();
  };
  // LSH keys shall be divided by their root mean square: the scores are, instead. A thread sums
  // over what it copied itself, which it may read before the barrier.
  const auto find_scales = [&](int tile) {
    const uint4* keys = stages + (tile & 1) * 2 * kTileKeys * kUnits;
    LONGSPAN_UNROLL
    for (int step = 0; step < kTileKeys * kUnits / kThreads; ++step) {
      const int i = step * kThreads + thread, place = i / kUnits, unit = i % kUnits;
      const uint4 key = keys[SwizzledUnit<kD>(place, unit)];
      const uint32_t pairs[4] = {key.x, key.y, key.z, key.w};
      float sum = 0.0F;
      LONGSPAN_UNROLL
      for (const uint32_t pair : pairs) {
        const float low = LowBfloat16(pair), high = HighBfloat16(pair);
        sum = fmaf(low, low, sum);
        sum = fmaf(high, high, sum);
      }
      LONGSPAN_UNROLL
      for (int mask = 1; mask < kUnits; mask *= 2) sum += __shfl_xor_sync(~0U, sum, mask);
      if (unit == 0) {
        scales[(tile & 1) * kTileKeys + place] = scale2 / sqrtf(sum * (1.0F / kD) + 1e-6F);
      }
    }
  };

  for (int i = thread; i < kQueries; i += kThreads) {
    const int place = first_query + i;
    query_rows[i] =
        place < view.length ? RowAt(view, p.order, SlotOf(view, view.chunk, place)) : -1;
  }
  find_keys(0);
  if (tiles > 1) find_keys(1);
  __syncthreads();
  LONGSPAN_UNROLL
  for (int step = 0; step < kQueries * kUnits / kThreads; ++step) {
    const int i = step * kThreads + thread, place = i / kUnits, unit = i % kUnits;
    const int32_t row = query_rows[place];
    CopyAsync16(queries + SwizzledUnit<kD>(place, unit),
                static_cast<const uint16_t*>(p.q) + int64_t{row < 0 ? 0 : row} * p.q_stride +
                    head * kD + unit * 8,
                row >= 0);
  }
  copy_keys(0);
  if (tiles > 1) copy_keys(1);

  // What a lane holds of a warp's 16 rows: row lane / 4 in the first two of four numbers, and row
  // lane / 4 + 8 in the others; columns 2 * (lane % 4) and the next.
  const int32_t query_row[2] = {query_rows[warp * 16 + lane / 4],
                                query_rows[warp * 16 + lane / 4 + 8]};
  const int32_t first_row = query_rows[0];
  uint32_t q[kD / 16][4];
  float out[kD / 8][4] = {};
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};

  for (int tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) {
      CopyWait<1>();
    } else {
      CopyWait<0>();
    }
    const int32_t* rows = key_rows + (tile & 1) * kTileKeys;
    const int32_t* visible = visible_from + (tile & 1) * kTileKeys;
    const float* scale = scales + (tile & 1) * kTileKeys;
    bool masked = true;  // in local layers: does any query not see any key?
    if constexpr (kLsh) {
      find_scales(tile);
      __syncthreads();
    } else {
      bool hides = false;
      for (int i = thread; i < kTileKeys; i += kThreads) hides |= visible[i] > first_row;
      masked = __syncthreads_or(static_cast<int>(hides)) != 0;
    }
    const uint4* keys = stages + (tile & 1) * 2 * kTileKeys * kUnits;
    const uint4* values = keys + kTileKeys * kUnits;
    if (tile == 0) {
      LONGSPAN_UNROLL
      for (int d = 0; d < kD / 16; ++d) {
        LoadMatrices(q[d], queries + SwizzledUnit<kD>(warp * 16 + lane % 16, d * 2 + lane / 16));
      }
    }

    // Scores in units of log2(e).
    float s[kTileKeys / 8][4] = {};
    LONGSPAN_UNROLL
    for (int n = 0; n < kTileKeys / 8; ++n) {
      LONGSPAN_UNROLL
      for (int d = 0; d < kD / 32; ++d) {
        uint32_t b[4];
        LoadMatrices(b, keys + SwizzledUnit<kD>(n * 8 + lane % 8, d * 4 + lane / 8));
        MultiplyAdd(s[n], q[2 * d], b[0], b[1]);
        MultiplyAdd(s[n], q[2 * d + 1], b[2], b[3]);
      }
    }
    float highest[2] = {maximum[0], maximum[1]};
    const int left = view.num_keys - tile * kTileKeys;
    LONGSPAN_UNROLL
    for (int n = 0; n < kTileKeys / 8; ++n) {
      const int j = n * 8 + lane % 4 * 2;
      float2 by = {scale2, scale2};
      if constexpr (kLsh) by = *reinterpret_cast<const float2*>(scale + j);
      LONGSPAN_UNROLL
      for (int i = 0; i < 4; ++i) s[n][i] *= i % 2 ? by.y : by.x;
      if (masked) {
        const int2 two_rows = *reinterpret_cast<const int2*>(rows + j);
        const int2 two_visible = *reinterpret_cast<const int2*>(visible + j);
        const int32_t key_row[2] = {two_rows.x, two_rows.y};
        const int32_t from[2] = {two_visible.x, two_visible.y};
        LONGSPAN_UNROLL
        for (int i = 0; i < 4; ++i) {
          s[n][i] = MaskedScore(s[n][i], kLsh, query_row[i / 2], key_row[i % 2], from[i % 2]);
        }
        if (left < kTileKeys) {
          LONGSPAN_UNROLL
          for (int i = 0; i < 4; ++i) s[n][i] = j + i % 2 < left ? s[n][i] : -INFINITY;
        }
      }
      LONGSPAN_UNROLL
      for (int i = 0; i < 4; ++i) highest[i / 2] = fmaxf(highest[i / 2], s[n][i]);
    }
    LONGSPAN_UNROLL
    for (int half = 0; half < 2; ++half) {
      highest[half] = fmaxf(highest[half], __shfl_xor_sync(~0U, highest[half], 1));
      highest[half] = fmaxf(highest[half], __shfl_xor_sync(~0U, highest[half], 2));
      const float factor = Exp2(maximum[half] - highest[half]);
      maximum[half] = highest[half];
      sum[half] *= factor;
      LONGSPAN_UNROLL
      for (int n = 0; n < kD / 8; ++n) {
        out[n][2 * half] *= factor;
        out[n][2 * half + 1] *= factor;
      }
    }
    // Probabilities, 16 keys at a time, and the values.
    LONGSPAN_UNROLL
    for (int g = 0; g < kTileKeys / 16; ++g) {
      uint32_t weights[4];
      LONGSPAN_UNROLL
      for (int part = 0; part < 2; ++part) {
        float(&scores)[4] = s[2 * g + part];
        LONGSPAN_UNROLL
        for (int i = 0; i < 4; ++i) {
          scores[i] = Exp2(scores[i] - maximum[i / 2]);
          sum[i / 2] += scores[i];
        }
        weights[2 * part] = PackPair<__nv_bfloat16>(scores[0], scores[1]);
        weights[2 * part + 1] = PackPair<__nv_bfloat16>(scores[2], scores[3]);
      }
      LONGSPAN_UNROLL
      for (int d = 0; d < kD / 16; ++d) {
        uint32_t b[4];
        LoadMatricesTransposed(
            b, values + SwizzledUnit<kD>(g * 16 + lane / 8 % 2 * 8 + lane % 8, d * 2 + lane / 16));
        MultiplyAdd(out[2 * d], weights, b[0], b[1]);
        MultiplyAdd(out[2 * d + 1], weights, b[2], b[3]);
      }
    }
    if (tile + 2 < tiles) {
      __syncthreads();  // all have read this tile
      find_keys(tile + 2);
      __syncthreads();
      copy_keys(tile + 2);
    }
  }

  // exp(maximum - z) with z rounded to float32, which makes the weights the published ones.
  float factor[2];
  LONGSPAN_UNROLL
  for (int half = 0; half < 2; ++half) {
    sum[half] += __shfl_xor_sync(~0U, sum[half], 1);
    sum[half] += __shfl_xor_sync(~0U, sum[half], 2);
    const float natural = NaturalMaximum(maximum[half]);
    const float z = natural + logf(sum[half]);
    factor[half] = expf(natural - z);
    if (p.lse && lane % 4 == 0 && query_row[half] >= 0) {
      p.lse[int64_t{1} * query_row[half] * lse_row + lse_head] = z;
    }
  }
  // Rows are written whole, by way of the place of the warp's own queries.
  __syncwarp();
  LONGSPAN_UNROLL
  for (int half = 0; half < 2; ++half) {
    LONGSPAN_UNROLL
    for (int n = 0; n < kD / 8; ++n) {
      uint32_t* unit = reinterpret_cast<uint32_t*>(
          queries + SwizzledUnit<kD>(warp * 16 + half * 8 + lane / 4, n));
      unit[lane % 4] = PackPair<__nv_bfloat16>(out[n][2 * half] * factor[half],
                                               out[n][2 * half + 1] * factor[half]);
    }
  }
  __syncwarp();
  LONGSPAN_UNROLL
  for (int step = 0; step < kUnits / 2; ++step) {
    const int i = step * 32 + lane, place = warp * 16 + i / kUnits, unit = i % kUnits;
    const int32_t row = query_rows[place];
    if (row < 0) continue;
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(p.out) + row * p.out_row_stride +
                              head * p.out_head_stride + round * kD + unit * 8) =
        queries[SwizzledUnit<kD>(place, unit)];
  }
}

template <int kD, int kWarps, bool kLsh>
cudaError_t RunChunks(const ChunkAttentionParams& p, cudaStream_t stream) {
  constexpr int kBytes = kChunkShared<kD, kWarps>;
  constexpr auto kKernel = ChunkAttentionKernel<kD, kWarps, kLsh>;
  if (const cudaError_t error = AllowShared<kKernel>(kBytes); error != cudaSuccess) return error;
  const int query_tiles = (p.chunk_length + 16 * kWarps - 1) / (16 * kWarps);
  const int64_t blocks = int64_t{p.num_chunks} * query_tiles;
  if (blocks > 0x7fffffff) return cudaErrorInvalidValue;
  return Launch(kKernel,
                dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(p.num_heads),
                     static_cast<unsigned>(p.num_rounds)),
                kWarps * 32, kBytes, stream, p, query_tiles);
}

// As many warps as a chunk has use for.
template <int kD, bool kLsh>
cudaError_t RunChunks(const ChunkAttentionParams& p, cudaStream_t stream) {
  if (p.chunk_length <= 32) return RunChunks<kD, 2, kLsh>(p, stream);
  if (p.chunk_length % 128 == 0) return RunChunks<kD, 8, kLsh>(p, stream);
  return RunChunks<kD, 4, kLsh>(p, stream);
}

bool AreValid(const ChunkAttentionParams& p) {
  const bool strides = p.q_stride % 8 == 0 && p.k_stride % 8 == 0 && p.v_stride % 8 == 0 &&
                       p.out_row_stride % 8 == 0 && p.out_head_stride % 8 == 0;
  const bool rounds = p.num_rounds == 1 || (p.order != nullptr && p.lse != nullptr);
  return strides && rounds && IsAligned(p.q) && IsAligned(p.k) && IsAligned(p.v) &&
         IsAligned(p.out) && p.num_chunks >= 1 && p.num_rows >= 1 && p.chunk_length >= 1 &&
         p.num_heads >= 1 && p.num_heads <= 65535 && p.num_rounds >= 1 && p.num_rounds <= 65535 &&
         p.chunks_before >= 0 && p.chunks_after >= 0;
}

}  // namespace

cudaError_t ChunkAttention(const ChunkAttentionParams& p, cudaStream_t stream) {
  if (p.storage != Storage::kBfloat16) return cudaErrorNotSupported;
  if (!AreValid(p)) return cudaErrorInvalidValue;
  return WithHeadSize(p.head_size, [&](auto size) {
    constexpr int kD = decltype(size)::value;
    return p.order != nullptr ? RunChunks<kD, true>(p, stream) : RunChunks<kD, false>(p, stream);
  });
}

}  // namespace longspan::cuda
