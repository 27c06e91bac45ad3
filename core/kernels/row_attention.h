// Row attention: one pass over tasks of rows, which does the work of SlidingWindowAttention and of
// BlockSparseAttention. A RowTask names a range of rows and the keys that each of them sees, in a
// form that covers both patterns:
//
//   columns   keys that every row of the task sees: global tokens, or the first and the last block.
//   band      keys around the row, counted in blocks of `block` tokens from the start of the text:
//             a row in block a sees the keys of the blocks a - reach .. a + reach of its text.
//               block =  1, reach = w: a window of w tokens on each side
//               block = 64, reach = 1: three blocks of 64 tokens
//
// A key that is a column is left out of the band, so that it counts once.
//   Cost O(rows · keys · D) multiply-adds per head. Scratch is about 1 MiB per thread, whatever
//   the lengths.
// The loop nest and its source are described in row_attention_tile.h. Proven, one implementation at
// a time, by sliding_window_attention_test and block_sparse_attention_test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/kernels/implementation.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan::kernels {

// All positions are packed positions: they count from the first token of the batch.
struct RowTask {
  int32_t text_begin = 0;  // the text: keys of the band lie in [text_begin, text_end)
  int32_t text_end = 0;
  int32_t row_begin = 0;  // the rows that this task writes: [row_begin, row_end)
  int32_t row_end = 0;
  int32_t block = 1;  // tokens in a block of the band
  // Blocks on each side. The text's length in blocks, or more, stands for every key.
  int32_t reach = 0;
  const int32_t* columns = nullptr;  // [num_columns] positions, ascending
  int32_t num_columns = 0;
  int32_t weighted_end = 0;  // columns before this position count `weight` times in the softmax
  float weight = 1.0f;
};

// The positions [begin, end) around a token. They are the keys that the token's row sees in the
// band, and also the rows that see its key, because the band is symmetric.
struct BandRange {
  int32_t begin = 0;
  int32_t end = 0;
};

// Has internal linkage: files for different instruction sets must not share one copy.
static inline BandRange BandAround(const RowTask& task, int32_t position) {
  const auto block_begin = [&task](int64_t block) {  // cut off at the ends of the text
    const int64_t begin = task.text_begin + block * task.block;
    return static_cast<int32_t>(std::clamp<int64_t>(begin, task.text_begin, task.text_end));
  };
  const int32_t offset = position - task.text_begin;
  // Windows skip the division, which would cost about as much as packing the key does.
  const int64_t block = task.block == 1 ? offset : offset / task.block;
  return {block_begin(block - task.reach), block_begin(block + task.reach + 1)};
}

// The most rows of one task. What such a task packs, the keys and values of its rows and of the
// window on both sides, stays in the second-level cache.
inline constexpr int32_t kMaxTaskRows = 512;

// Appends the rows [row_begin, row_end) of `task` as tasks of kMaxTaskRows rows and a last one of
// what is left. They are counted from row_begin, so a text is cut the same way in every batch.
void AppendRowTasks(const RowTask& task, std::vector<RowTask>* tasks);

// Runs every task for every head on the OpenMP team. Of `tensors` it reads the type, q, k, v, out,
// their strides, lse, the head counts, the scale and key_mask; not the texts, windows and globals.
void RunRowTasks(const SlidingWindowAttentionParams& tensors, const std::vector<RowTask>& tasks);

// `tasks` holds num_tasks entries. Portable, Avx2 and Avx512 compute bfloat16 tensors in float32;
// Avx512Bf16 takes bfloat16 tensors only and multiplies pairs of bfloat16 (VDPBF16PS).
void RunRowTasksPortable(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                         int64_t num_tasks);
void RunRowTasksAvx2(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                     int64_t num_tasks);
void RunRowTasksAvx512(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                       int64_t num_tasks);
void RunRowTasksAvx512Bf16(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                           int64_t num_tasks);
// The same two with scores of int8 (VPDPBUSD): each row of q and k of a head is rounded to 8 bits
// under a scale of its own.
void RunRowTasksAvx512Vnni(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                           int64_t num_tasks);
void RunRowTasksAvx512VnniBf16(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                               int64_t num_tasks);

using RowTasksFunction = void(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                              int64_t num_tasks);
using RowAttentionImplementation = Implementation<RowTasksFunction>;
// The implementations that this processor runs for tensors of `type`, the preferred first.
// RunRowTasks uses the first.
std::vector<RowAttentionImplementation> RowAttentionImplementations(ElementType type);
// Those with scores of int8; none where the processor lacks AVX512_VNNI. Where `tensors` allow int8
// scores, RunRowTasks uses the first of these, if there is one.
std::vector<RowAttentionImplementation> Int8RowAttentionImplementations(ElementType type);

}  // namespace longspan::kernels
