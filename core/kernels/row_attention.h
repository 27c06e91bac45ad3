// What stands behind SlidingWindowAttention and BlockSparseAttention: one pass over tasks of rows,
// in several implementations that tests run one by one. A RowTask says which keys its rows see, in
// a form that covers both patterns:
//   columns                        keys that every row of the task sees (global tokens; first and last block)
//   band, in units of `block` tokens: the row in block a sees the keys of blocks a - reach .. a + reach of its text
//                                  block = 1: a window of `reach` tokens each side;  block = 64, reach = 1: three blocks
// A key that is a column is left out of the band, so that it counts once. Rows of one task share
// the packed keys.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/kernels/sliding_window_attention.h"

namespace longspan::kernels {

// kAvx2 and kAvx512 compute bfloat16 tensors in float32; kAvx512Bf16 multiplies pairs of bfloat16
// (VDPBF16PS) and takes only those.
enum class AttentionImplementation { kPortable, kAvx2, kAvx512, kAvx512Bf16 };

// Whether this build and this processor run it for tensors of that type.
bool IsSupported(AttentionImplementation implementation, ElementType type);
AttentionImplementation FastestAttention(ElementType type);

struct RowTask {
  int32_t text_begin = 0;  // packed positions; keys of the band lie in [text_begin, text_end)
  int32_t text_end = 0;
  int32_t row_begin = 0;  // the rows this task writes
  int32_t row_end = 0;
  int32_t block = 1;
  int32_t reach = 0;                 // in blocks; at least the text's length in blocks = every key
  const int32_t* columns = nullptr;  // packed positions, ascending
  int32_t num_columns = 0;
  int32_t weighted_end = 0;  // columns before this position count `weight` times in the softmax
  float weight = 1.0f;
};

// The band around a position, [begin, end): keys that its row sees, and, since it is symmetric,
// rows that see its key.
struct BandRange {
  int32_t begin = 0;
  int32_t end = 0;
};
inline BandRange BandAround(const RowTask& task, int32_t position) {
  const auto block_begin = [&task](int64_t block) {  // kept inside the text
    const int64_t begin = task.text_begin + block * task.block;
    return static_cast<int32_t>(std::clamp<int64_t>(begin, task.text_begin, task.text_end));
  };
  const int32_t offset = position - task.text_begin;
  const int64_t block =
      task.block == 1 ? offset
                      : offset / task.block;  // a division a key would cost as much as packing it
  return {block_begin(block - task.reach), block_begin(block + task.reach + 1)};
}

// Rows of one task at most: what a task packs (its rows plus the window on both sides) stays in the
// second-level cache.
inline constexpr int32_t kTaskRows = 512;

// Splits [row_begin, row_end) of `task` into tasks of kTaskRows rows, counted from row_begin, so
// that the cut never depends on other texts.
void AppendRowTasks(const RowTask& task, std::vector<RowTask>* tasks);

// Runs every task for every head, on all threads of the OpenMP team. Of `tensors` only q, k, v,
// out, their strides, lse, the head counts, scale and key_mask are read.
void RunRowTasks(AttentionImplementation implementation,
                 const SlidingWindowAttentionParams& tensors, const std::vector<RowTask>& tasks);

// The tasks of SlidingWindowAttention; their columns point into params.globals.
std::vector<RowTask> SlidingWindowTasks(const SlidingWindowAttentionParams& params);

// SlidingWindowAttention by a chosen implementation.
void SlidingWindowAttention(const SlidingWindowAttentionParams& params,
                            AttentionImplementation implementation);

// One per instruction set; `tasks` holds num_tasks entries.
void RunRowTasksPortable(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                         int64_t num_tasks);
void RunRowTasksAvx2(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                     int64_t num_tasks);
void RunRowTasksAvx512(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                       int64_t num_tasks);
void RunRowTasksAvx512Bf16(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                           int64_t num_tasks);

}  // namespace longspan::kernels
