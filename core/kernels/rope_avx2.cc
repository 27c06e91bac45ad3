#include "core/kernels/rope.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {
namespace {

template <typename T>
void RotateToken(const RopeParams& p, int64_t token, int64_t position) {
  const int64_t half = p.head_size / 2;
  const float* cos = p.cos + position * half;
  const float* sin = p.sin + position * half;
  for (int64_t i = 0; i < half; i += 8) {
    const int64_t count = half - i;
    const __m256 c = Load8(cos + i, count), s = Load8(sin + i, count);
    T* a = static_cast<T*>(p.x) + token * p.token_stride + i;
    for (int64_t head = 0; head < p.num_heads; ++head, a += p.head_size) {
      const __m256 first = Load8(a, count), second = Load8(a + half, count);
      Store8(a, count, _mm256_fmsub_ps(first, c, _mm256_mul_ps(second, s)));
      Store8(a + half, count, _mm256_fmadd_ps(second, c, _mm256_mul_ps(first, s)));
    }
  }
}

}  // namespace

void RopeTokenAvx2(const RopeParams& params, int64_t token, int64_t position) {
  if (params.type == ElementType::kFloat32) return RotateToken<float>(params, token, position);
  RotateToken<BFloat16>(params, token, position);
}

}  // namespace longspan::kernels
