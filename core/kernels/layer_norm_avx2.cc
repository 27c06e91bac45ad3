#include <cmath>

#include "core/kernels/layer_norm.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {
namespace {

template <typename X, typename R, typename Out>
void Rows(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
  const float per_element = 1.0f / static_cast<float>(p.width);
  for (int64_t row = begin; row < end; ++row) {
    const X* x = static_cast<const X*>(p.x) + row * p.width;
    const R* residual = p.residual ? static_cast<const R*>(p.residual) + row * p.width : nullptr;
    R* sum_out = p.sum ? static_cast<R*>(p.sum) + row * p.width : nullptr;
    Out* out = static_cast<Out*>(p.out) + row * p.width;

    __m256 sum = _mm256_setzero_ps();
    for (int64_t i = 0; i < p.width; i += 8) {
      const int64_t count = p.width - i;
      __m256 v = Load8(x + i, count);
      if (residual) v = _mm256_add_ps(v, Load8(residual + i, count));
      if (sum_out) Store8(sum_out + i, count, v);
      Store8(scratch + i, count, v);
      sum = _mm256_add_ps(sum, v);
    }
    const __m256 mean = _mm256_set1_ps(Sum8(sum) * per_element);

    __m256 squares = _mm256_setzero_ps();
    for (int64_t i = 0; i < p.width; i += 8) {
      const int64_t count = p.width - i;
      __m256 deviation = _mm256_sub_ps(Load8(scratch + i, count), mean);
      if (count < 8) deviation = _mm256_and_ps(deviation, _mm256_castsi256_ps(FirstLanes8(count)));
      squares = _mm256_fmadd_ps(deviation, deviation, squares);
    }
    const __m256 scale = _mm256_set1_ps(1.0f / std::sqrt(Sum8(squares) * per_element + p.eps));

    for (int64_t i = 0; i < p.width; i += 8) {
      const int64_t count = p.width - i;
      const __m256 normal = _mm256_mul_ps(_mm256_sub_ps(Load8(scratch + i, count), mean), scale);
      const __m256 bias = p.bias ? Load8(p.bias + i, count) : _mm256_setzero_ps();
      Store8(out + i, count, _mm256_fmadd_ps(normal, Load8(p.weight + i, count), bias));
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

void LayerNormRowsAvx2(const LayerNormParams& params, int64_t begin, int64_t end, float* scratch) {
  if (params.x_type == ElementType::kFloat32)
    return ByResidualType<float>(params, begin, end, scratch);
  ByResidualType<BFloat16>(params, begin, end, scratch);
}

}  // namespace longspan::kernels
