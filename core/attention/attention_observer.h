// AttentionObserver: is told what each attention of a forward pass computes. It is given the very
// structures that the kernels take, so what it learns of who sees whom does not come from a second
// formula. `longspan-model mask` and tests use it. A pass without an observer pays one comparison
// with null for each attention.
//
// Called on the thread that runs the pass, before each attention of a layer. Pointers and spans are
// valid during the call.
#pragma once

#include <cstdint>
#include <span>

#include "core/kernels/local_chunk_attention.h"
#include "core/kernels/row_attention.h"

namespace longspan {

// How one head of a text was hashed and sorted: buckets and slots of all its rounds, one round
// behind the other.
struct LshOrder {
  int32_t num_hashes = 0;            // rounds
  int32_t num_buckets = 0;           // of one round; a token that is not read has this bucket
  int32_t length = 0;                // rows of the text, padding included
  const int32_t* buckets = nullptr;  // [num_hashes, length], the bucket of each position
  const int32_t* slots = nullptr;    // [num_hashes, length], the position at each slot
};

class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  // Sliding windows and BigBird's blocks; the same for all heads. Positions are rows of the packed
  // batch. key_mask [T], 0 = not read; empty = all are read.
  virtual void OnRowTasks(std::span<const kernels::RowTask> tasks,
                          std::span<const uint8_t> key_mask) = 0;
  // These rows see all keys of [begin, end) that are read, through projections of their own. What
  // OnRowTasks said of them is void.
  virtual void OnGlobalRows(std::span<const int64_t> rows, int64_t begin, int64_t end,
                            std::span<const uint8_t> key_mask) = 0;
  // Local chunks; the same for all heads. Positions in `params` are positions in the text.
  virtual void OnLocalChunks(const kernels::ChunkAttentionParams& params) = 0;
  // LSH, some chunks of one head of one text. Rows in `params` count from the text's first. `order`
  // is null where the text is no longer than a chunk, so that nothing is hashed.
  virtual void OnLshChunks(int64_t head, const kernels::ChunkAttentionParams& params,
                           const LshOrder* order) = 0;
};

}  // namespace longspan
