#include "core/kernels/row_attention.h"

#include <algorithm>

namespace longspan::kernels {

void AppendRowTasks(const RowTask& task, std::vector<RowTask>* tasks) {
  for (int32_t row = task.row_begin; row < task.row_end; row += kMaxTaskRows) {
    tasks->push_back(task);
    tasks->back().row_begin = row;
    tasks->back().row_end = std::min(row + kMaxTaskRows, task.row_end);
  }
}

std::vector<RowAttentionImplementation> RowAttentionImplementations(ElementType type) {
  std::vector<RowAttentionImplementation> all = {
      {"avx512", &CpuFeatures::avx512, RunRowTasksAvx512},
      {"avx2", &CpuFeatures::avx2, RunRowTasksAvx2},
      {"portable", nullptr, RunRowTasksPortable},
  };
  if (type == ElementType::kBFloat16) {
    // Where VDPBF16PS is slow, the float32 arithmetic of "avx512" on widened elements is faster.
    const auto place = all.begin() + (GetCpuFeatures().slow_vdpbf16ps ? 1 : 0);
    all.insert(place, {"avx512_bf16", &CpuFeatures::avx512_bf16, RunRowTasksAvx512Bf16});
  }
  return Supported(all);
}

void RunRowTasks(const SlidingWindowAttentionParams& tensors, const std::vector<RowTask>& tasks) {
  static const auto run_float32 = RowAttentionImplementations(ElementType::kFloat32).front().run;
  static const auto run_bfloat16 = RowAttentionImplementations(ElementType::kBFloat16).front().run;
  const auto run = tensors.type == ElementType::kFloat32 ? run_float32 : run_bfloat16;
  run(tensors, tasks.data(), static_cast<int64_t>(tasks.size()));
}

}  // namespace longspan::kernels
