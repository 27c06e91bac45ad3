// Attention of query chunks to chunks of keys: the arithmetic that Reformer's local layers (chunks
// in text order) share with its LSH layers (chunks of slots sorted by bucket).
//
// A slot is a place in that order. slot_rows gives the row of a slot, and positions gives the
// position of a row in its text. In local layers slot s is row s. In LSH layers the row of a slot
// is what the sort by bucket put there.
//
//   score(i, j) = q_i·k_j / sqrt(D), then in this order:
//     key j not read, or causal and position j > position i:  score = -1e9
//     LSH and position j == position i (read or not):         score = -1e5
//   z_i = logsumexp_j score(i, j), rounded to float32
//   out_i = sum_j exp(score(i, j) - z_i) v_j
//
// That z is rounded before the exponential is part of the rule. At -1e5 a step of float32 is 0.0078
// and at -1e9 it is 64, so where only masked keys are in reach the weights do not sum to 1, and
// published models carry that rounding. A key that appears twice counts twice. Scores, maximum, sum
// and z are float32 whatever the element type.
//
// Runs on the calling thread: the caller gives each thread tasks of its own.
//   Cost O(tasks · C · keys · D) for chunks of C slots. Scratch O(keys · D) per thread, because
//   the score matrix has 64 rows at most.
// Source: Reformer, arXiv 2001.04451, sec. 2. Proven by local_chunk_attention_test and
// lsh_attention_test (against tests/reference).
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/element_type.h"
#include "core/kernels/implementation.h"

namespace longspan::kernels {

// The chunks of one kind of layer.
struct ChunkShape {
  int32_t chunk_length = 0;   // C, in tokens
  int32_t chunks_before = 0;  // chunks that a chunk sees before itself
  int32_t chunks_after = 0;   // chunks that a chunk sees behind itself
  bool causal = false;        // a query sees no later key
};

// One chunk of queries and the chunks of keys it sees; all of one length.
struct ChunkTask {
  int32_t query_slot = 0;  // first slot of the chunk
  int32_t length = 0;      // slots in it, and in each of its key chunks
  int32_t out_row = 0;     // its slots write the rows out_row, out_row + 1, ... of out and lse
  int32_t num_key_chunks = 0;
  // [num_key_chunks] first slot of each key chunk, in the order of the keys; may repeat.
  const int32_t* key_slots = nullptr;
};

struct ChunkAttentionParams {
  // Of q, k and v. In bfloat16 the probabilities are rounded to bfloat16 before the values.
  ElementType type = ElementType::kFloat32;
  const void* q = nullptr;  // head h of row r at q + r * q_stride + h * head_size
  const void* k = nullptr;  // in the same form, with k_stride
  const void* v = nullptr;
  int64_t q_stride = 0;  // elements
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int32_t num_heads = 0;
  int32_t head_size = 0;  // D
  bool lsh = false;       // keys become k / sqrt(mean(k^2) + 1e-6), and the -1e5 rule above holds
  bool causal = false;
  const int32_t* slot_rows = nullptr;  // [slots]; null = slot s is row s
  const int32_t* positions = nullptr;  // [rows]; null = row r is position r
  const uint8_t* key_mask = nullptr;   // [rows]: 0 = not read; null = all are read
  const ChunkTask* tasks = nullptr;
  int32_t num_tasks = 0;
  ElementType out_type = ElementType::kFloat32;
  void* out = nullptr;     // head h of row r at out + r * out_stride + h * head_size; may not alias
  int64_t out_stride = 0;  // elements
  float* lse = nullptr;    // null, or receives z: [rows of out, num_heads]
};

// The first position whose queries see a key at `position`: INT32_MAX where the key is not read,
// the key's own position in a causal model, and -1, before every position, otherwise. Has internal
// linkage: files for different instruction sets must not share one copy.
static inline int32_t VisibleFrom(bool read, bool causal, int32_t position) {
  return !read ? INT32_MAX : causal ? position : -1;
}

void ChunkAttention(const ChunkAttentionParams& params);

void ChunkAttentionPortable(const ChunkAttentionParams& params);
void ChunkAttentionAvx2(const ChunkAttentionParams& params);
void ChunkAttentionAvx512(const ChunkAttentionParams& params);
void ChunkAttentionAvx512Bf16(const ChunkAttentionParams& params);  // bfloat16 only

using ChunkAttentionFunction = void(const ChunkAttentionParams&);
using ChunkAttentionImplementation = Implementation<ChunkAttentionFunction>;
// The implementations that this processor runs for elements of `type`, the preferred first.
// ChunkAttention uses the first.
std::vector<ChunkAttentionImplementation> ChunkAttentionImplementations(ElementType type);

// The key chunks of chunk c of num_chunks: c - before, ..., c, ..., c + after, around the ends
// (modulo). An offset of num_chunks or more is no shift at all: it gives chunk c again. Writes
// before + 1 + after entries to `chunks`.
void CircularChunks(int32_t c, int32_t num_chunks, int32_t before, int32_t after, int32_t* chunks);

}  // namespace longspan::kernels
