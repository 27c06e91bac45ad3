// Attention of query chunks to chunks of keys: the arithmetic shared by Reformer's local layers
// (chunks in text order) and LSH layers (chunks of slots sorted by bucket).
//   slot -> row (slot_rows) -> position in the text (positions). Local layers: slot = row. LSH: row of a slot = sorted index.
//   score(i, j) = q_i·k_j / sqrt(D), where
//     key j not read, or causal and position j > position i:  -1e9 instead       (first)
//     LSH and position j == position i:                       -1e5 instead       (then: also a self that is not read)
//   z_i = logsumexp_j score,  p = exp(score - z_i),  out_i = sum_j p_ij v_j       z is rounded to float32 before the exp
// The last line is a rule, not a detail: at -1e5 a float step is 0.0078 and at -1e9 it is 64, so
// where nothing but masked keys is in reach the weights do not sum to 1, and published models carry
// that rounding. A key that appears twice counts twice. Scores, maximum, sum and z are float32
// whatever the element type.
// Serial: the caller gives each thread tasks of its own. Cost O(tasks · C · keys · D), scratch
// O(keys · D) per thread, never a score matrix of more than 64 rows.
// Source: Reformer, arXiv 2001.04451, sec. 2.  Proven by local_chunk_attention_test and lsh_attention_test (tests/reference).
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/element_type.h"

namespace longspan::kernels {

// One chunk of queries and the chunks of keys it sees; all of one length.
struct ChunkTask {
  int32_t query_slot = 0;  // first slot of the chunk
  int32_t length = 0;      // slots in it, and in each of its key chunks
  int32_t out_row = 0;     // its slots write the rows out_row, out_row + 1, ... of out and lse
  int32_t num_key_chunks = 0;
  const int32_t* key_slots =
      // [num_key_chunks] first slot of each key chunk, in the order of the keys; may repeat
      nullptr;
};

struct ChunkAttentionParams {
  ElementType type = ElementType::
      kFloat32;  // of q, k and v; bfloat16: probabilities are rounded to bfloat16 for the values
  const void* q = nullptr;  // head h of row r at q + r * q_stride + h * head_size
  const void* k = nullptr;
  const void* v = nullptr;
  int64_t q_stride = 0;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int32_t num_heads = 0;
  int32_t head_size = 0;
  bool lsh = false;  // keys become k / sqrt(mean(k^2) + 1e-6) and the self rule above holds
  bool causal = false;
  const int32_t* slot_rows = nullptr;  // [slots]; null = slot s is row s
  const int32_t* positions = nullptr;  // [rows]; null = row r is position r
  const uint8_t* key_mask = nullptr;   // [rows], 0 = not read; null = all are
  const ChunkTask* tasks = nullptr;
  int32_t num_tasks = 0;
  ElementType out_type = ElementType::kFloat32;
  void* out = nullptr;  // head h of row r at out + r * out_stride + h * head_size; may not alias
  int64_t out_stride = 0;
  float* lse = nullptr;  // null, or z: [rows of out, num_heads]
};

// First position whose queries see a key at `position`: none where it is not read, its own in a
// causal model, else every.
inline int32_t VisibleFrom(bool read, bool causal, int32_t position) {
  return !read ? INT32_MAX : causal ? position : -1;
}

void ChunkAttentionPortable(const ChunkAttentionParams& params);
void ChunkAttentionAvx2(const ChunkAttentionParams& params);
void ChunkAttentionAvx512(const ChunkAttentionParams& params);
void ChunkAttentionAvx512Bf16(const ChunkAttentionParams& params);  // of bfloat16 only

struct ChunkAttentionImplementation {
  const char* name;
  void (*run)(const ChunkAttentionParams&);
};
// Those of the above that this processor runs for elements of `type`, the fastest last.
std::vector<ChunkAttentionImplementation> ChunkAttentionImplementations(ElementType type);

// By the fastest of them, chosen once by cpuid.
void ChunkAttention(const ChunkAttentionParams& params);

// The key chunks of chunk c of num_chunks: c - before, ..., c, ..., c + after, around the ends
// (modulo), except that an offset of num_chunks or more is no shift at all: chunk c again. Writes
// before + 1 + after entries to `chunks`.
void CircularChunks(int32_t c, int32_t num_chunks, int32_t before, int32_t after, int32_t* chunks);

}  // namespace longspan::kernels
