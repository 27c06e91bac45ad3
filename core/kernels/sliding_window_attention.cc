#include "core/kernels/sliding_window_attention.h"

#include <algorithm>

#include "core/kernels/cpu_features.h"
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

bool IsSupported(AttentionImplementation implementation, ElementType type) {
#if defined(__x86_64__)
  if (implementation == AttentionImplementation::kAvx2) return GetCpuFeatures().avx2;
  if (implementation == AttentionImplementation::kAvx512) return GetCpuFeatures().avx512;
  if (implementation == AttentionImplementation::kAvx512Bf16)
    return GetCpuFeatures().avx512_bf16 && type == ElementType::kBFloat16;
#endif
  return implementation == AttentionImplementation::kPortable;
}

AttentionImplementation FastestAttention(ElementType type) {
  for (AttentionImplementation implementation :
       {AttentionImplementation::kAvx512Bf16, AttentionImplementation::kAvx512,
        AttentionImplementation::kAvx2}) {
    if (IsSupported(implementation, type)) return implementation;
  }
  return AttentionImplementation::kPortable;
}

void AppendRowTasks(const RowTask& task, std::vector<RowTask>* tasks) {
  for (int32_t row = task.row_begin; row < task.row_end; row += kTaskRows) {
    tasks->push_back(task);
    tasks->back().row_begin = row;
    tasks->back().row_end = std::min(row + kTaskRows, task.row_end);
  }
}

void RunRowTasks(AttentionImplementation implementation,
                 const SlidingWindowAttentionParams& tensors, const std::vector<RowTask>& tasks) {
  const int64_t count = static_cast<int64_t>(tasks.size());
  switch (implementation) {
#if defined(__x86_64__)
    case AttentionImplementation::kAvx2:
      return RunRowTasksAvx2(tensors, tasks.data(), count);
    case AttentionImplementation::kAvx512:
      return RunRowTasksAvx512(tensors, tasks.data(), count);
    case AttentionImplementation::kAvx512Bf16:
      return RunRowTasksAvx512Bf16(tensors, tasks.data(), count);
#endif
    default:
      return RunRowTasksPortable(tensors, tasks.data(), count);
  }
}

void SlidingWindowAttention(const SlidingWindowAttentionParams& params,
                            AttentionImplementation implementation) {
  RunRowTasks(implementation, params, SlidingWindowTasks(params));
}

void SlidingWindowAttention(const SlidingWindowAttentionParams& params) {
  SlidingWindowAttention(params, FastestAttention(params.type));
}

}  // namespace longspan::kernels
