#include "core/kernels/lsh_merge.h"

#include <cmath>
#include <cstring>

namespace longspan::kernels {
namespace {

// How far ahead rows are prefetched; the processor cannot foresee them, since they lie anywhere.
constexpr int32_t kRowsAhead = 8;

void Prefetch(const LshMergeState& state, int64_t row) {
  for (int32_t d = 0; d < state.head_size; d += 16)
    __builtin_prefetch(state.sum + row * state.head_size + d, /*for writing*/ 1);
  __builtin_prefetch(state.maximum + row, /*for writing*/ 1);
  __builtin_prefetch(state.weight + row, /*for writing*/ 1);
}

}  // namespace

void LshMergeRound(const LshMergeState& state, const float* out, const float* lse, int64_t begin,
                   const int32_t* slots, int32_t count, bool first) {
  const int32_t D = state.head_size;
  for (int32_t i = 0; i < count; ++i) {
    if (slots && i + kRowsAhead < count) Prefetch(state, begin + slots[i + kRowsAhead]);
    const int64_t row = begin + (slots ? slots[i] : i);
    float* sum = state.sum + row * D;
    float& maximum = state.maximum[row];
    float& weight = state.weight[row];
    const float* o = out + static_cast<int64_t>(i) * D;
    if (first) {
      std::memcpy(sum, o, D * sizeof(float));
      maximum = lse[i];
      weight = 1.0f;
    } else if (lse[i] <= maximum) {
      const float factor = std::exp(lse[i] - maximum);
      for (int32_t d = 0; d < D; ++d) sum[d] += factor * o[d];
      weight += factor;
    } else {
      const float factor = std::exp(maximum - lse[i]);
      for (int32_t d = 0; d < D; ++d) sum[d] = sum[d] * factor + o[d];
      weight = weight * factor + 1.0f;
      maximum = lse[i];
    }
  }
}

void LshMergeFinish(const LshMergeState& state, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float z = state.maximum[row] + std::log(state.weight[row]);
    const float factor = std::exp(state.maximum[row] - z);
    float* sum = state.sum + row * state.head_size;
    for (int32_t d = 0; d < state.head_size; ++d) sum[d] *= factor;
  }
}

}  // namespace longspan::kernels
