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

std::vector<RowAttentionImplementation> Int8RowAttentionImplementations(ElementType type) {
  std::vector<RowAttentionImplementation> all = {
      {"avx512_vnni", &CpuFeatures::avx512_vnni, RunRowTasksAvx512Vnni}};
  const CpuFeatures& features = GetCpuFeatures();
  if (type == ElementType::kBFloat16 && features.avx512_vnni) {
    const auto place = all.begin() + (features.slow_vdpbf16ps ? 1 : 0);
    all.insert(place, {"avx512_vnni_bf16", &CpuFeatures::avx512_bf16, RunRowTasksAvx512VnniBf16});
  }
  return Supported(all);
}

namespace {

RowTasksFunction* Preferred(ElementType type, bool int8_scores) {
  const auto int8 = Int8RowAttentionImplementations(type);
  return int8_scores && !int8.empty() ? int8.front().run
                                      : RowAttentionImplementations(type).front().run;
}

}  // namespace

void RunRowTasks(const SlidingWindowAttentionParams& tensors, const std::vector<RowTask>& tasks) {
  constexpr auto kFloat32 = ElementType::kFloat32, kBFloat16 = ElementType::kBFloat16;
  static RowTasksFunction* const run[2][2] = {
      {Preferred(kFloat32, false), Preferred(kFloat32, true)},
      {Preferred(kBFloat16, false), Preferred(kBFloat16, true)}};
  run[tensors.type == kBFloat16][tensors.int8_scores](tensors, tasks.data(),
                                                      static_cast<int64_t>(tasks.size()));
}

}  // namespace longspan::kernels
