// Reformer's local attention: a text is cut into chunks; the queries of chunk c see the keys of
// chunks c - before ... c + after. The chunks are a circle: in a bidirectional model the first
// chunk also sees the last one, and nothing masks that.
//
//   8 tokens, chunks of 2, one before:   chunk 0 sees {3, 0}, chunk 1 sees {0, 1}, chunk 2 sees {1, 2}, chunk 3 sees {2, 3}
//   a text of at most one chunk:         everything sees everything
//
// A layer is computed window by window: some chunks of one text with their neighbours, or several
// short texts whole, so that queries, keys and values of no more than a few hundred tokens exist at
// once.
// Cost O(T · H · C · (before + 1 + after) · D).  Source: Reformer, arXiv 2001.04451.  Rules in prose:
// core/models/reformer/README.md.  Proven by local_chunk_attention_test, chunk_window_test and the golden tests.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/kernels/local_chunk_attention.h"

namespace longspan {

// Chunks of one layer kind.
struct ChunkShape {
  int32_t chunk_length = 0;
  int32_t chunks_before = 0;
  int32_t chunks_after = 0;
  bool causal = false;
};

// A text in the packed rows: padded to a multiple of every chunk length, or no longer than one
// chunk.
struct ChunkedText {
  int64_t row_begin = 0;
  int32_t length = 0;
};

struct ChunkWindow {
  int64_t query_begin = 0;  // packed rows [query_begin, query_begin + num_queries) are computed
  int64_t num_queries = 0;
  int64_t first_query = 0;  // where those rows lie in the window
  int64_t num_rows = 0;     // rows of the window, neighbours included
  std::vector<std::pair<int64_t, int64_t>>
      row_ranges;                         // packed rows [begin, end) that make the window, in order
  std::vector<int32_t> positions;         // [num_rows] position of each in its text
  std::vector<int32_t> key_slots;         // of all tasks
  std::vector<kernels::ChunkTask> tasks;  // key_slots point into the vector above
};

// Windows over all texts, of about max_queries query rows each (at least one chunk or one short
// text).
std::vector<ChunkWindow> PlanChunkWindows(std::span<const ChunkedText> texts,
                                          const ChunkShape& shape, int64_t max_queries);

class AttentionObserver;
// Tells the observer of the attention of a window.
void ObserveChunkWindow(const ChunkWindow& window, std::span<const uint8_t> key_mask, bool causal,
                        AttentionObserver& observer);

// qkv : [num_rows, 3, H, D] float32 or bfloat16, rows of the window     key_mask : by packed row, 0 = not read; empty = all are
// Returns [num_queries, H, D] of qkv's type. Runs on the calling thread only.
at::Tensor LocalChunkAttention(const at::Tensor& qkv, const ChunkWindow& window,
                               std::span<const uint8_t> key_mask, bool causal);

}  // namespace longspan
