// RopeToken as plain loops over elements: for processors without AVX2, and what tests compare the
// other implementations with.
#include "core/kernels/bfloat16.h"
#include "core/kernels/rope.h"

namespace longspan::kernels {
namespace {

template <typename T>
void RotateToken(const RopeParams& p, int64_t token, int64_t position) {
  const int64_t half = p.head_size / 2;
  const float* cos = p.cos + position * half;
  const float* sin = p.sin + position * half;
  for (int64_t head = 0; head < p.num_heads; ++head) {
    T* a = static_cast<T*>(p.x) + token * p.token_stride + head * p.head_size;
    T* b = a + half;
    for (int64_t i = 0; i < half; ++i) {
      const float first = ToFloat(a[i]), second = ToFloat(b[i]);
      FromFloat(first * cos[i] - second * sin[i], &a[i]);
      FromFloat(second * cos[i] + first * sin[i], &b[i]);
    }
  }
}

}  // namespace

void RopeTokenPortable(const RopeParams& params, int64_t token, int64_t position) {
  if (params.type == ElementType::kFloat32) return RotateToken<float>(params, token, position);
  RotateToken<BFloat16>(params, token, position);
}

}  // namespace longspan::kernels
