// AttentionObserver: is told what each attention of a forward pass computes, in the very structures
// that the kernels take: who sees whom is read off them, never from a second formula. For
// longspan-model mask, and for tests; a pass without one pays a comparison with null for each
// attention.
// Called on the thread that runs the pass, before the attention of a layer; pointers and spans live
// during the call.
#pragma once

#include <cstdint>
#include <span>

#include "core/kernels/local_chunk_attention.h"
#include "core/kernels/row_attention.h"

namespace longspan {

// One head of a text that is hashed: buckets and slots of all its rounds, one behind the other.
struct LshOrder {
  int32_t num_hashes = 0;
  int32_t num_buckets = 0;           // of one round; a token that is not read has this bucket
  int32_t length = 0;                // rows of the text, padding included
  const int32_t* buckets = nullptr;  // [num_hashes, length] by position
  const int32_t* slots = nullptr;    // [num_hashes, length] position of each slot
};

class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  // Windows and blocks, all heads alike. Positions are rows of the packed batch; key_mask is by
  // row, empty = all are read.
  virtual void OnRowTasks(std::span<const kernels::RowTask> tasks,
                          std::span<const uint8_t> key_mask) = 0;
  // These rows see all keys of [begin, end) that are read, by projections of their own, and not
  // what OnRowTasks said.
  virtual void OnGlobalRows(std::span<const int64_t> rows, int64_t begin, int64_t end,
                            std::span<const uint8_t> key_mask) = 0;
  // Local chunks, all heads alike: positions of params are those in the text.
  virtual void OnLocalChunks(const kernels::ChunkAttentionParams& params) = 0;
  // LSH, one head of one text: rows of params count from the text's first. `order` is null where
  // the text is no longer than a chunk and nothing is hashed.
  virtual void OnLshChunks(int64_t head, const kernels::ChunkAttentionParams& params,
                           const LshOrder* order) = 0;
};

}  // namespace longspan
