#include "core/kernels/sliding_window_attention.h"

#include <algorithm>

#include "core/kernels/row_attention.h"

namespace longspan::kernels {

std::vector<RowTask> SlidingWindowTasks(const SlidingWindowAttentionParams& params) {
  std::vector<RowTask> tasks;
  for (int32_t text = 0; text < params.num_texts; ++text) {
    RowTask task;
    task.text_begin = task.row_begin = params.cu_seqlens[text];
    task.text_end = task.row_end = params.cu_seqlens[text + 1];
    task.reach = static_cast<int32_t>(
        std::min<int64_t>(params.windows[text], task.text_end - task.text_begin));
    if (params.globals) {
      task.columns = params.globals + params.cu_globals[text];
      task.num_columns = params.cu_globals[text + 1] - params.cu_globals[text];
    }
    AppendRowTasks(task, &tasks);
  }
  return tasks;
}

void SlidingWindowAttention(const SlidingWindowAttentionParams& params) {
  RunRowTasks(params, SlidingWindowTasks(params));
}

}  // namespace longspan::kernels
