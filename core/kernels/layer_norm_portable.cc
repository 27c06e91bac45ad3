// LayerNormRows as plain loops over elements: for processors without AVX2, and what tests compare
// the other implementations with.
#include <cmath>

#include "core/kernels/bfloat16.h"
#include "core/kernels/layer_norm.h"

namespace longspan::kernels {
namespace {

template <typename X, typename R, typename Out>
void Rows(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
  for (int64_t row = begin; row < end; ++row) {
    const X* x = static_cast<const X*>(p.x) + row * p.width;
    const R* residual = p.residual ? static_cast<const R*>(p.residual) + row * p.width : nullptr;
    Out* out = static_cast<Out*>(p.out) + row * p.width;
    float sum = 0;
    for (int64_t i = 0; i < p.width; ++i) {
      scratch[i] = ToFloat(x[i]) + (residual ? ToFloat(residual[i]) : 0.0f);
      sum += scratch[i];
    }
    const float mean = sum / static_cast<float>(p.width);
    float squares = 0;
    for (int64_t i = 0; i < p.width; ++i) squares += (scratch[i] - mean) * (scratch[i] - mean);
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(p.width) + p.eps);
    for (int64_t i = 0; i < p.width; ++i)
      FromFloat((scratch[i] - mean) * scale * p.weight[i] + (p.bias ? p.bias[i] : 0.0f), &out[i]);
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

void LayerNormRowsPortable(const LayerNormParams& params, int64_t begin, int64_t end,
                           float* scratch) {
  if (params.x_type == ElementType::kFloat32)
    return ByResidualType<float>(params, begin, end, scratch);
  ByResidualType<BFloat16>(params, begin, end, scratch);
}

}  // namespace longspan::kernels
