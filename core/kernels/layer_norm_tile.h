// LayerNormRows over vectors of one instruction set: the arithmetic is written once. `Elements` is
// Avx512Elements or Avx2Elements; quantize_tile.h says what they give. Internal linkage on purpose,
// for the reason in lane_vector.h.
//
// A row is read three times: for the sum, for the variance about the mean, so that a large mean
// costs no digits of it, and for the result. The second and the third time it comes from scratch,
// which lies in the first-level cache.
#pragma once

#include <cmath>

#include "core/kernels/bfloat16.h"
#include "core/kernels/lane_vector.h"
#include "core/kernels/layer_norm.h"

namespace longspan::kernels {
namespace {

template <class Elements>
class RowNormalizer {
 public:
  static void Run(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
    if (p.x_type == ElementType::kFloat32) return ByResidualType<float>(p, begin, end, scratch);
    ByResidualType<BFloat16>(p, begin, end, scratch);
  }

 private:
  using V = typename Elements::V;
  using Float = typename V::Float;

  template <typename X>
  static void ByResidualType(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
    if (p.residual_type == ElementType::kFloat32)
      return ByOutType<X, float>(p, begin, end, scratch);
    ByOutType<X, BFloat16>(p, begin, end, scratch);
  }

  template <typename X, typename R>
  static void ByOutType(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
    if (p.out_type == ElementType::kFloat32) return Rows<X, R, float>(p, begin, end, scratch);
    Rows<X, R, BFloat16>(p, begin, end, scratch);
  }

  template <typename X, typename R, typename Out>
  static void Rows(const LayerNormParams& p, int64_t begin, int64_t end, float* scratch) {
    const int64_t width = p.width;
    const float per_element = 1.0f / static_cast<float>(width);
    for (int64_t row = begin; row < end; ++row) {
      const X* x = static_cast<const X*>(p.x) + row * width;
      const R* residual = p.residual ? static_cast<const R*>(p.residual) + row * width : nullptr;
      Out* out = static_cast<Out*>(p.out) + row * width;

      Float sum = {};
      ForEachVector<Elements::kLanes>(
          width, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
            Float v = Elements::Load(x + i, count);
            if (residual) v += Elements::Load(residual + i, count);
            Elements::Store(scratch + i, count, v);
            sum += v;
          });
      const Float mean = V::Set(V::ReduceAdd(sum) * per_element);

      Float squares = {};
      ForEachVector<Elements::kLanes>(
          width, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
            const Float deviation =
                Elements::FirstLanes(Elements::Load(scratch + i, count) - mean, count);
            squares = V::MultiplyAdd(deviation, deviation, squares);
          });
      const Float scale = V::Set(1.0f / std::sqrt(V::ReduceAdd(squares) * per_element + p.eps));

      ForEachVector<Elements::kLanes>(
          width, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
            const Float normal = (Elements::Load(scratch + i, count) - mean) * scale;
            const Float bias = p.bias ? Elements::Load(p.bias + i, count) : Float{};
            const Float weight = Elements::Load(p.weight + i, count);
            Elements::Store(out + i, count, V::MultiplyAdd(normal, weight, bias));
          });
    }
  }
};

}  // namespace
}  // namespace longspan::kernels
