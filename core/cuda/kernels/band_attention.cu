// Attention to a window and to global tokens on Hopper. A block is 128 query rows of one head: two
// warpgroups of 64 rows, whose queries stay in registers. Tiles of 64 keys and values come through
// a ring in shared memory, loaded ahead by the tensor memory accelerator, so no thread waits for
// memory but for the first tile. Scores and values are warpgroup products with float32 sums; the
// softmax is online (FlashAttention-2, arXiv 2307.08691, sec. 3.1). Two blocks share a
// multiprocessor: while one warpgroup is in its softmax, others keep the tensor cores busy. Global
// tokens are further tiles of gathered keys, so no second pass and no merge is needed.
#include <cuda.h>

#include <cstdint>

#include "core/cuda/kernels/ampere.cuh"
#include "core/cuda/kernels/hopper.cuh"
#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {
namespace {

constexpr int kStages = 5;  // tiles in the ring
constexpr int kThreads = 128 * kBandGroups;
constexpr int kFewGlobals = 16;  // have a narrow tile of their own

template <int kSize>
struct Memory {  // of a block, in bytes
  static constexpr int kTile = kBandTileKeys * kSize * 2;
  static constexpr int kStage = 2 * kTile;  // keys, values
  // The ring, a tile of global tokens, two barriers a stage; 1,024 to align them.
  static constexpr int kAll = 1024 + (kStages + 1) * kStage + 16 * kStages;
};

struct Arguments {
  const void* qkv;
  void* out;
  float* lse;
  const BandBlock* blocks;
  const int* global_begin;
  const int* globals;
  int64_t tokens;
  int heads;
  int window;
  float scale_log2;  // scale * log2(e): exponentials are powers of two
};

// What a thread holds of its warpgroup's 64 rows: parts of two of them, `row` and `row + 8`. In
// each 8 columns of a product it holds four values: two neighbours of either row.
template <int kSize>
struct Rows {
  float out[kSize / 2];
  float max[2];
  float sum[2];  // of this thread's columns
};

// Adds a tile of kKeys keys. sees(column, half) tells whether row + 8 * half sees the key; without
// kMask all do.
template <typename T, int kSize, int kKeys, bool kMask, typename Sees>
__device__ __forceinline__ void AddTile(Rows<kSize>& rows, const uint32_t (&query)[kSize / 16][4],
                                        uint32_t keys, uint32_t values, float scale_log2,
                                        Sees sees) {
  float s[kKeys / 2];
  ProductsBegin();
#pragma unroll
  for (int k = 0; k < kSize / 16; ++k) {
    Multiply<T, false>(s, query[k], MatrixDescriptor<kSize>(keys + k * 32), k != 0);
  }
  ProductsEnd();
  if constexpr (kMask) {
#pragma unroll
    for (int i = 0; i < kKeys / 2; ++i) {
      if (!sees(i / 4 * 8 + (i & 1), i / 2 & 1)) s[i] = -INFINITY;
    }
  }
  float shrink[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float max = rows.max[half];
#pragma unroll
    for (int i = 2 * half; i < kKeys / 2; i += 4) max = fmaxf(max, fmaxf(s[i], s[i + 1]));
    max = fmaxf(max, __shfl_xor_sync(~0U, max, 1));
    max = fmaxf(max, __shfl_xor_sync(~0U, max, 2));
    // A row that has seen no key yet has -inf, of which no difference can be taken.
    const float base = kMask && max == -INFINITY ? 0 : max * scale_log2;
    shrink[half] = Exp2(rows.max[half] * scale_log2 - base);
    rows.max[half] = max;
    float sum = 0;
#pragma unroll
    for (int i = 2 * half; i < kKeys / 2; i += 4) {
      s[i] = Exp2(s[i] * scale_log2 - base);
      s[i + 1] = Exp2(s[i + 1] * scale_log2 - base);
      sum += s[i] + s[i + 1];
    }
    rows.sum[half] = rows.sum[half] * shrink[half] + sum;
  }
  // The scores' registers are what the next product wants of its left matrix.
  uint32_t weights[kKeys / 16][4];
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      weights[k][i] = PackPair<T>(s[k * 8 + i * 2], s[k * 8 + i * 2 + 1]);
    }
  }
#pragma unroll
  for (int i = 0; i < kSize / 2; ++i) rows.out[i] *= shrink[i / 2 & 1];
  ProductsBegin();
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    Multiply<T, true>(rows.out, weights[k], MatrixDescriptor<kSize>(values + k * 16 * kSize * 2),
                      1);
  }
  ProductsEnd();
}

template <typename T, int kSize>
__global__ void __launch_bounds__(kThreads, 2)
    BandAttentionKernel(const __grid_constant__ CUtensorMap map, const Arguments a) {
  using Bytes = Memory<kSize>;
  extern __shared__ uint8_t unaligned[];
  const uint32_t ring = (SharedAddress(unaligned) + 1023) & ~1023U;
  const uint32_t global_tile = ring + kStages * Bytes::kStage;
  const uint32_t full = global_tile + Bytes::kStage, empty = full + kStages * 8;
  const int head = static_cast<int>(blockIdx.x) % a.heads;
  const BandBlock block = a.blocks[blockIdx.x / a.heads];
  const int window = a.window;
  const BandKeys keys = KeysOf(block, window);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int64_t width = int64_t{a.heads} * kSize;

  if (thread == 0) {
    for (int s = 0; s < kStages; ++s) {
      InitBarrier(full + s * 8, 1);
      InitBarrier(empty + s * 8, kThreads / 32);  // one lane of each warp arrives
    }
    PublishBarriers();
  }
  __syncthreads();
  auto load = [&](int tile) {
    const uint32_t barrier = full + tile % kStages * 8, to = ring + tile % kStages * Bytes::kStage;
    const int row = keys.begin + tile * kBandTileKeys;
    ArriveExpecting(barrier, Bytes::kStage);
    LoadBox(to, &map, (a.heads + head) * kSize, row, barrier);
    LoadBox(to + Bytes::kTile, &map, (2 * a.heads + head) * kSize, row, barrier);
  };
  if (thread == 0) {
    for (int tile = 0; tile < Smaller(keys.tiles, kStages); ++tile) load(tile);
  }

  const int group_row = block.first_row + thread / 128 * kBandGroupRows;
  const int row = group_row + thread % 128 / 32 * 16 + lane / 4;  // and row + 8
  const int column = lane % 4 * 2;                                // and the next, in each 8 columns
  uint32_t query[kSize / 16][4];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const T* q = static_cast<const T*>(a.qkv) + head * kSize + column +
                 int64_t{Smaller(row + 8 * half, block.text_end - 1)} * 3 * width;
#pragma unroll
    for (int k = 0; k < kSize / 16; ++k) {
      query[k][half] = *reinterpret_cast<const uint32_t*>(q + k * 16);
      query[k][half + 2] = *reinterpret_cast<const uint32_t*>(q + k * 16 + 8);
    }
  }
  Rows<kSize> rows;
#pragma unroll
  for (int i = 0; i < kSize / 2; ++i) rows.out[i] = 0;
  rows.max[0] = rows.max[1] = -INFINITY;
  rows.sum[0] = rows.sum[1] = 0;

  for (int tile = 0; tile < keys.tiles; ++tile) {
    const int stage = tile % kStages;
    // The stage of the tile before this one is refilled when both groups have left it.
    if (thread == 0 && tile > 0 && tile - 1 + kStages < keys.tiles) {
      WaitFor(empty + (tile - 1) % kStages * 8, (tile - 1) / kStages & 1);
      load(tile - 1 + kStages);
    }
    __syncwarp();
    // Also where no row sees the tile: a group that ran ahead would release a stage twice.
    WaitFor(full + stage * 8, tile / kStages & 1);
    // The last tile may hold rows of the next text. Their weights are 0, but 0 times an infinity is
    // NaN: no text may spoil another, so their values are 0 too.
    if (keys.begin + (tile + 1) * kBandTileKeys > block.text_end) {
      const int own = block.text_end - keys.begin - tile * kBandTileKeys;
      uint8_t* const values = unaligned + (ring - SharedAddress(unaligned)) +
                              stage * Bytes::kStage + Bytes::kTile + own * kSize * 2;
      for (int i = thread; i < (kBandTileKeys - own) * kSize / 8; i += kThreads) {
        reinterpret_cast<uint4*>(values)[i] = uint4{0, 0, 0, 0};
      }
      PublishShared();
      __syncthreads();
    }
    const int key = keys.begin + tile * kBandTileKeys;
    if (SeesTile(group_row, key, window, block.text_end)) {
      const uint32_t k = ring + stage * Bytes::kStage, v = k + Bytes::kTile;
      if (SeesWholeTile(group_row, key, window, block.text_end)) {
        AddTile<T, kSize, kBandTileKeys, false>(rows, query, k, v, a.scale_log2,
                                                [](int, int) { return true; });
      } else {
        const TileColumns seen = SeenColumns(row, key + column, window, block.text_end);
        const TileColumns seen8 = SeenColumns(row + 8, key + column, window, block.text_end);
        AddTile<T, kSize, kBandTileKeys, true>(
            rows, query, k, v, a.scale_log2, [&](int c, int half) {
              return half ? c >= seen8.first && c <= seen8.last : c >= seen.first && c <= seen.last;
            });
      }
    }
    __syncwarp();
    if (lane == 0) Arrive(empty + stage * 8);
  }

  if (a.global_begin != nullptr) {
    const int end = a.global_begin[block.text + 1];
    for (int first = a.global_begin[block.text]; first < end; first += kBandTileKeys) {
      const int count = Smaller(kBandTileKeys, end - first);
      if (WindowsHoldGlobals(block, a.globals[first], a.globals[first + count - 1], window)) {
        continue;
      }
      __syncthreads();                    // nobody reads the tile any longer
      constexpr int kChunks = kSize / 8;  // of 16 bytes
      const int gathered = count <= kFewGlobals ? kFewGlobals : kBandTileKeys;
      for (int i = thread; i < gathered * 2 * kChunks; i += kThreads) {
        const int key = i / (2 * kChunks), is_value = i / kChunks % 2, chunk = i % kChunks;
        uint4 part = {0, 0, 0, 0};
        if (key < count) {
          part = Load(static_cast<const T*>(a.qkv) + int64_t{a.globals[first + key]} * 3 * width +
                          (1 + is_value) * width + head * kSize,
                      chunk);
        }
        uint8_t* to =
            unaligned + (global_tile - SharedAddress(unaligned)) + is_value * Bytes::kTile;
        *reinterpret_cast<uint4*>(to + SwizzledOffset(key, chunk, kSize * 2)) = part;
      }
      PublishShared();
      __syncthreads();
      if (group_row >= block.text_end) continue;
      auto sees = [&](int c, int half) {
        return c + column < count &&
               IsBeyondWindow(row + half * 8, a.globals[first + c + column], window);
      };
      if (count <= kFewGlobals) {
        AddTile<T, kSize, kFewGlobals, true>(rows, query, global_tile, global_tile + Bytes::kTile,
                                             a.scale_log2, sees);
      } else {
        AddTile<T, kSize, kBandTileKeys, true>(rows, query, global_tile, global_tile + Bytes::kTile,
                                               a.scale_log2, sees);
      }
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = rows.sum[half];
    sum += __shfl_xor_sync(~0U, sum, 1);
    sum += __shfl_xor_sync(~0U, sum, 2);
    const int my_row = row + half * 8;
    if (my_row >= block.text_end) continue;
    // A row of a text sees at least itself, so the sum is above 0.
    const float inverse = 1 / sum;
    T* out = static_cast<T*>(a.out) + my_row * width + head * kSize + column;
#pragma unroll
    for (int i = 0; i < kSize / 8; ++i) {
      *reinterpret_cast<uint32_t*>(out + i * 8) = PackPair<T>(
          rows.out[i * 4 + half * 2] * inverse, rows.out[i * 4 + half * 2 + 1] * inverse);
    }
    if (a.lse != nullptr && lane % 4 == 0) {
      constexpr float kLn2 = 0.69314718056F;
      a.lse[head * a.tokens + my_row] = (rows.max[half] * a.scale_log2 + log2f(sum)) * kLn2;
    }
  }
}

// The map of qkv as a matrix of tokens rows, in boxes of a head's columns and a tile's rows. Rows
// beyond the end come as zeros.
cudaError_t MakeMap(const BandAttentionParams& p, CUtensorMap* map) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                               12000, cudaEnableDefault, &found);
    return error == cudaSuccess && found == cudaDriverEntryPointSuccess
               ? reinterpret_cast<Encode>(function)
               : nullptr;
  }();
  if (encode == nullptr) return cudaErrorNotSupported;
  const auto columns = static_cast<cuuint64_t>(3 * p.heads * p.head_size);
  const cuuint64_t size[] = {columns, static_cast<cuuint64_t>(p.tokens)}, pitch[] = {columns * 2};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(p.head_size), kBandTileKeys}, step[] = {1, 1};
  const CUresult result =
      encode(map,
             p.storage == Storage::kBfloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                             : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
             2, const_cast<void*>(p.qkv), size, pitch, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
             p.head_size == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename T, int kSize>
cudaError_t Launch(const BandAttentionParams& p, const CUtensorMap& map, const Arguments& a,
                   cudaStream_t stream) {
  const auto kernel = BandAttentionKernel<T, kSize>;
  constexpr int kBytes = Memory<kSize>::kAll;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (error != cudaSuccess) return error;
  kernel<<<static_cast<unsigned>(p.num_blocks) * p.heads, kThreads, kBytes, stream>>>(map, a);
  return cudaGetLastError();
}

}  // namespace

cudaError_t BandAttention(const BandAttentionParams& p, cudaStream_t stream) {
  if (p.num_blocks == 0) return cudaSuccess;
  if (p.head_size != 32 && p.head_size != 64) return cudaErrorInvalidValue;
  CUtensorMap map;
  if (const cudaError_t error = MakeMap(p, &map); error != cudaSuccess) return error;
  const Arguments a{p.qkv,
                    p.out,
                    p.lse,
                    p.blocks,
                    p.global_begin,
                    p.globals,
                    p.tokens,
                    p.heads,
                    Smaller(p.window, kBandMaxWindow),
                    p.scale * 1.4426950408889634F};
  const bool is_bfloat16 = p.storage == Storage::kBfloat16;
  if (p.head_size == 64) {
    return is_bfloat16 ? Launch<__nv_bfloat16, 64>(p, map, a, stream)
                       : Launch<__half, 64>(p, map, a, stream);
  }
  return is_bfloat16 ? Launch<__nv_bfloat16, 32>(p, map, a, stream)
                     : Launch<__half, 32>(p, map, a, stream);
}

}  // namespace longspan::cuda
