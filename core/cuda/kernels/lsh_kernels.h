// The device's kernels of Reformer's attention: hashing, sorting, attention of chunks and the merge
// of hash rounds. Source: Reformer, arXiv 2001.04451, sec. 2. They compute what
// core/kernels/lsh_hash.h, lsh_sort.h, local_chunk_attention.h and lsh_merge.h define for the
// processor.
//
//   once a model    PackRotations
//   once a batch    PlanChunks, RowsOfSlots
//   an LSH layer    LshHash, LshSort, ChunkAttention with an order; with several rounds LshMerge
//   a local layer   ChunkAttention without an order
//
// Pointers are those of the device and aligned to 16 bytes. A call puts its work on the stream and
// returns at once: cudaSuccess, the error of the launch, cudaErrorInvalidValue for sizes, strides
// or alignments that the kernels do not take, or cudaErrorNotSupported for float16, which none of
// them has yet. What the pointers point to is not checked. Compute capability 8.0 and later.
//
// Letters in shapes: T rows of all texts together (lsh_index.h tells how texts lie in them), H
// heads, R hash rounds, D head size (32, 64 or 128). Strides are counted in elements.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/lsh_index.h"
#include "core/cuda/kernels/runtime_api.h"

namespace longspan::cuda {

// Which text a row belongs to, and which chunk of which text each block of attention takes.
struct ChunkPlanParams {
  const int32_t* text_begin = nullptr;   // [num_texts + 1]: first rows, and T
  const int32_t* chunk_begin = nullptr;  // [num_texts + 1]: running sums of NumChunks
  int32_t num_texts = 0;                 // at least 1
  int32_t num_rows = 0;                  // T
  int32_t* row_text = nullptr;           // out [T]: the row's text; null = not wanted
  ChunkOfText* chunks = nullptr;         // out [chunk_begin[num_texts]]
};
cudaError_t PlanChunks(const ChunkPlanParams& params, cudaStream_t stream);

// rows[i] = i % num_rows for i < count = H R T: the values that LshSort sorts.
cudaError_t RowsOfSlots(int32_t* rows, int64_t count, int32_t num_rows, cudaStream_t stream);

// How x R is computed. Its arithmetic is float32 either way: with bfloat16 about one token in a
// hundred changes its bucket.
enum class HashUnits : uint8_t {
  kTensorCores,  // as products of bfloat16 pieces, exact to about the last bit of float32
  kPlain,        // as float32 products
};

// The rotations in the layout that LshHash reads.
struct PackRotationsParams {
  const float* rotations = nullptr;  // [H, D, R * sum of factors / 2]
  void* packed = nullptr;            // out: PackedRotationBytes
  int32_t num_heads = 0;
  int32_t head_size = 0;
  int32_t num_rounds = 0;
  BucketFactors factors;
  HashUnits units = HashUnits::kTensorCores;
};
// The size of `packed`, whose pointers it does not look at; 0 where PackRotations refuses.
int64_t PackedRotationBytes(const PackRotationsParams& params);
cudaError_t PackRotations(const PackRotationsParams& params, cudaStream_t stream);

// The buckets of all tokens as sort keys. Texts of one chunk get bucket 0; in others, tokens that
// are not read get the bucket behind all (Reformer, sec. 2, "Locality sensitive hashing").
// Refuses more than 2^32 keys (NumSortKeys) and more than 65,535 heads.
enum class HashInput : uint8_t { kFloat32, kBfloat16 };
struct LshHashParams {
  const void* x = nullptr;  // head h of row t at x + t * x_stride + h * D
  int64_t x_stride = 0;     // a multiple of 16 bytes
  HashInput input = HashInput::kFloat32;
  HashUnits units = HashUnits::kTensorCores;
  const void* rotations = nullptr;      // as PackRotations packs them for these units
  const uint8_t* key_mask = nullptr;    // [T]: 0 = not read; null = all are read
  const int32_t* text_begin = nullptr;  // [num_texts + 1]
  const int32_t* row_text = nullptr;    // [T], of PlanChunks
  uint32_t* keys = nullptr;             // out [H, R, T]
  int32_t num_rows = 0;
  int32_t num_heads = 0;
  int32_t head_size = 0;
  int32_t num_rounds = 0;
  int32_t num_texts = 0;
  int32_t chunk_length = 0;
  BucketFactors factors;
};
cudaError_t LshHash(const LshHashParams& params, cudaStream_t stream);

// Sorts (keys, rows) by the lowest `bits` bits of the keys. Equal keys keep their order.
struct LshSortParams {
  const uint32_t* keys = nullptr;   // [count], of LshHash
  const int32_t* rows = nullptr;    // [count], of RowsOfSlots
  uint32_t* sorted_keys = nullptr;  // out [count]; nothing reads it but the sort
  int32_t* order = nullptr;         // out [H, R, T]: the row of each slot
  int64_t count = 0;                // H R T
  int bits = 32;                    // SortKeyBits(NumSortKeys(...)) are enough
  void* scratch = nullptr;
  size_t scratch_bytes = 0;  // at least LshSortScratch
};
cudaError_t LshSortScratch(int64_t count, int bits, size_t* bytes);
cudaError_t LshSort(const LshSortParams& params, cudaStream_t stream);

// Softmax attention in which each chunk sees itself, the chunks before and those after it, around
// the ends. With an `order`, chunks are of sorted slots through all rounds, keys are divided by
// their root mean square, and a token sees itself only where it sees nothing else (Reformer,
// sec. 2, "LSH attention"). Without, chunks are of rows, and there is one round.
struct ChunkAttentionParams {
  const void* q = nullptr;  // head h of row t at q + t * q_stride + h * D
  const void* k = nullptr;  // with an order the same as q
  const void* v = nullptr;
  int64_t q_stride = 0;  // multiples of 8
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  const int32_t* order = nullptr;       // [H, R, T], of LshSort, or null
  const uint8_t* key_mask = nullptr;    // [T]: 0 = not read; null = all are read
  const int32_t* text_begin = nullptr;  // [num_texts + 1]
  const ChunkOfText* chunks = nullptr;  // [num_chunks], of PlanChunks
  int32_t num_chunks = 0;
  int32_t num_rows = 0;
  int32_t num_heads = 0;
  int32_t head_size = 0;
  int32_t num_rounds = 1;
  int32_t chunk_length = 0;
  int32_t chunks_before = 0;
  int32_t chunks_after = 0;
  bool causal = false;
  // Out: round r of head h of row t at out + t * out_row_stride + h * out_head_stride + r * D.
  // Rounds that a text does not have are left as they are: a text of one chunk has one.
  void* out = nullptr;
  int64_t out_row_stride = 0;  // multiples of 8
  int64_t out_head_stride = 0;
  // Out [T, H, R]: log of the sum of exponentials (natural), -infinity for rounds that a text does
  // not have. Null = not wanted, with one round only.
  float* lse = nullptr;
  Storage storage = Storage::kBfloat16;  // of q, k, v and out
};
cudaError_t ChunkAttention(const ChunkAttentionParams& params, cudaStream_t stream);

// out_t = sum_r exp(lse_r - Z) part_r with Z = logsumexp_r(lse_r), rounded to float32 (Reformer,
// sec. 2, "Multi-round LSH attention").
struct LshMergeParams {
  const void* parts = nullptr;  // [T, H, R, D]
  const float* lse = nullptr;   // [T, H, R]
  void* out = nullptr;          // out: head h of row t at out + t * out_stride + h * D
  int64_t out_stride = 0;       // a multiple of 8
  int32_t num_rows = 0;
  int32_t num_heads = 0;
  int32_t num_rounds = 0;
  int32_t head_size = 0;
  Storage storage = Storage::kBfloat16;  // of parts and out
};
cudaError_t LshMerge(const LshMergeParams& params, cudaStream_t stream);

}  // namespace longspan::cuda
