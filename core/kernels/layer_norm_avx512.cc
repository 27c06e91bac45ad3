#include <cmath>

#include "core/kernels/layer_norm.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

template <typename X, typename R, typename Out>
void Rows(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
  const int64_t width = p.width;
  const float per_element = 1.0f / static_cast<float>(width);
  for (int64_t row = begin; row < end; ++row) {
    const X* x = static_cast<const X*>(p.x) + row * width;
    const R* residual = p.residual ? static_cast<const R*>(p.residual) + row * width : nullptr;
    R* sum_out = p.sum ? static_cast<R*>(p.sum) + row * width : nullptr;
    Out* out = static_cast<Out*>(p.out) + row * width;

    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += 16) {
      const __mmask16 lanes = LaneMask(width, i);
      __m512 v = Load16(x + i, lanes);
      if (residual) v = _mm512_add_ps(v, Load16(residual + i, lanes));
      if (sum_out) Store16(sum_out + i, lanes, v);
      Store16(scratch + i, lanes, v);
      sum = _mm512_add_ps(sum, v);
    }
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) * per_element);

    __m512 squares = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += 16) {
      const __mmask16 lanes = LaneMask(width, i);
      const __m512 deviation = _mm512_maskz_sub_ps(lanes, Load16(scratch + i, lanes), mean);
      squares = _mm512_fmadd_ps(deviation, deviation, squares);
    }
    const __m512 scale =
        _mm512_set1_ps(1.0f / std::sqrt(_mm512_reduce_add_ps(squares) * per_element + p.eps));

    for (int64_t i = 0; i < width; i += 16) {
      const __mmask16 lanes = LaneMask(width, i);
      const __m512 normal = _mm512_mul_ps(_mm512_sub_ps(Load16(scratch + i, lanes), mean), scale);
      const __m512 bias = p.bias ? Load16(p.bias + i, lanes) : _mm512_setzero_ps();
      Store16(out + i, lanes, _mm512_fmadd_ps(normal, Load16(p.weight + i, lanes), bias));
    }
  }
}

template <typename X, typename R>
void ByOutType(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
  if (p.out_type == ElementType::kFloat32) return Rows<X, R, float>(p, begin, end, scratch);
  Rows<X, R, BFloat16>(p, begin, end, scratch);
}

template <typename X>
void ByResidualType(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
  if (p.residual_type == ElementType::kFloat32) return ByOutType<X, float>(p, begin, end, scratch);
  ByOutType<X, BFloat16>(p, begin, end, scratch);
}

}  // namespace

void LayerNormRowsAvx512(const LayerNormParams& params, int64_t begin, int64_t end,
                         float* scratch) {
  if (params.x_type == ElementType::kFloat32)
    return ByResidualType<float>(params, begin, end, scratch);
  ByResidualType<BFloat16>(params, begin, end, scratch);
}

}  // namespace longspan::kernels
