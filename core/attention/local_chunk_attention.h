// LocalChunkAttention: Reformer's local attention. A text is cut into chunks of C tokens; the
// queries of chunk c see the keys of the chunks c - before ... c + after. The chunks are a circle:
// in a bidirectional model the first chunk also sees the last one, and nothing masks that.
//
//   8 tokens, chunks of 2, one before:
//     chunk 0 sees chunks 3 0, chunk 1 sees 0 1, chunk 2 sees 1 2, chunk 3 sees 2 3
//   a text of at most one chunk: every token sees every token
//
// A layer is computed window by window. A window is some chunks of one text with their neighbours,
// or several short texts as a whole. Queries, keys and values of no more than about a thousand
// tokens exist at once on each thread.
//
// Cost O(T·H·C·(before + 1 + after)·D). Source: Reformer, arXiv 2001.04451. Rules that are easy to
// get wrong: core/models/reformer/README.md. Proven by local_chunk_attention_test,
// chunk_window_test and reformer_golden_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/kernels/local_chunk_attention.h"

namespace longspan {

using kernels::ChunkShape;

// A text in the packed rows. It is padded to a multiple of every chunk length, or it is no longer
// than one chunk.
struct ChunkedText {
  int64_t row_begin = 0;
  int32_t length = 0;  // rows, padding included
};

struct ChunkWindow {
  int64_t query_begin = 0;  // packed rows [query_begin, query_begin + num_queries) are computed
  int64_t num_queries = 0;
  int64_t first_query = 0;  // row of the window where they begin
  int64_t num_rows = 0;     // rows of the window, neighbours included
  // Packed rows [begin, end) that make the window, in order.
  std::vector<std::pair<int64_t, int64_t>> row_ranges;
  std::vector<int32_t> positions;         // [num_rows], position of each row in its text
  std::vector<int32_t> key_slots;         // those of all tasks, one behind the other
  std::vector<kernels::ChunkTask> tasks;  // their key_slots point into key_slots
};

// Windows over all texts, of at most max_queries queries each, but of at least one chunk or one
// short text. A text that is shorter than such a window with its neighbours is taken whole.
std::vector<ChunkWindow> PlanChunkWindows(std::span<const ChunkedText> texts,
                                          const ChunkShape& shape, int64_t max_queries);

class AttentionObserver;
// Tells the observer what LocalChunkAttention computes for this window.
void ObserveChunkWindow(const ChunkWindow& window, std::span<const uint8_t> key_mask, bool causal,
                        AttentionObserver& observer);

// qkv      : [num_rows, 3, H, D] float32 or bfloat16, the rows of the window
// key_mask : [packed rows], 0 = not read; empty = all are read
// Returns [num_queries, H, D] of qkv's type. Runs on the calling thread alone. Throws c10::Error
// for other shapes.
at::Tensor LocalChunkAttention(const at::Tensor& qkv, const ChunkWindow& window,
                               std::span<const uint8_t> key_mask, bool causal);

}  // namespace longspan
