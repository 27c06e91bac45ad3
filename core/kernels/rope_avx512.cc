#include "core/kernels/rope.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

template <typename T>
void RotateToken(const RopeParams& p, int64_t token, int64_t position) {
  const int64_t half = p.head_size / 2;
  const float* cos = p.cos + position * half;
  const float* sin = p.sin + position * half;
  for (int64_t i = 0; i < half; i += 16) {
    const __mmask16 lanes = LaneMask(half, i);
    const __m512 c = Load16(cos + i, lanes), s = Load16(sin + i, lanes);
    T* a = static_cast<T*>(p.x) + token * p.token_stride + i;
    for (int64_t head = 0; head < p.num_heads; ++head, a += p.head_size) {
      const __m512 first = Load16(a, lanes), second = Load16(a + half, lanes);
      Store16(a, lanes, _mm512_fmsub_ps(first, c, _mm512_mul_ps(second, s)));
      Store16(a + half, lanes, _mm512_fmadd_ps(second, c, _mm512_mul_ps(first, s)));
    }
  }
}

}  // namespace

void RopeTokenAvx512(const RopeParams& params, int64_t token, int64_t position) {
  if (params.type == ElementType::kFloat32) return RotateToken<float>(params, token, position);
  RotateToken<BFloat16>(params, token, position);
}

}  // namespace longspan::kernels
