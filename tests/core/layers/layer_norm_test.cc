#include "core/layers/layer_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include <limits>
#include <utility>
#include <vector>

#include "core/layers/quantized_linear.h"

namespace longspan {
namespace {

at::Tensor Reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps) {
  const at::Tensor wide_bias = bias.defined() ? bias.to(at::kDouble) : at::Tensor();
  return at::layer_norm(x.to(at::kDouble), {x.size(1)}, weight.to(at::kDouble), wide_bias, eps)
      .to(at::kFloat);
}

TEST(LayerNorm, EqualsTheFormula_ForEveryWidth) {
  for (int64_t width : {1, 8, 15, 16, 17, 64, 384, 768, 1000}) {
    const at::Tensor weight = at::randn({width}), bias = at::randn({width});
    for (int64_t rows : {0, 1, 3, 200}) {
      // A mean far from zero: the variance must not be computed as E[x^2] - mean^2.
      const at::Tensor x = at::randn({rows, width}) * 3 + 100;
      EXPECT_TRUE(at::allclose(LayerNorm(weight, bias, 1e-5)(x), Reference(x, weight, bias, 1e-5),
                               1e-4, 2e-4))
          << rows << "x" << width;
      EXPECT_TRUE(
          at::allclose(LayerNorm(weight, {}, 1e-5)(x), Reference(x, weight, {}, 1e-5), 1e-4, 2e-4))
          << rows << "x" << width;
    }
  }
}

TEST(LayerNorm, EpsIsInsideTheRoot) {
  const at::Tensor weight = at::ones({16}), x = at::randn({4, 16}) * 1e-3;
  EXPECT_TRUE(
      at::allclose(LayerNorm(weight, {}, 1e-2)(x), Reference(x, weight, {}, 1e-2), 1e-5, 1e-6));
}

TEST(LayerNorm, AddNorm_NormalisesTheSum_InBothTypes) {
  const at::Tensor weight = at::randn({72}), bias = at::randn({72});
  const LayerNorm norm(weight, bias, 1e-12);
  const at::Tensor x = at::randn({300, 72}), residual = at::randn({300, 72});
  EXPECT_TRUE(at::allclose(norm.AddNorm(x, residual), Reference(x + residual, weight, bias, 1e-12),
                           1e-5, 1e-5));
  const at::Tensor x16 = x.to(at::kBFloat16), residual16 = residual.to(at::kBFloat16);
  const at::Tensor half = norm.AddNorm(x16, residual16);
  EXPECT_EQ(half.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(
      at::equal(half, Reference(x16.to(at::kFloat) + residual16.to(at::kFloat), weight, bias, 1e-12)
                          .to(at::kBFloat16)) ||
      at::allclose(half.to(at::kFloat),
                   Reference(x16.to(at::kFloat) + residual16.to(at::kFloat), weight, bias, 1e-12),
                   0.01, 1e-3));
  EXPECT_EQ(norm.AddNorm(x16, residual).scalar_type(), at::kFloat);
}

TEST(LayerNorm, Run_WritesWhereItIsTold_AndNowhereElse) {
  const at::Tensor weight = at::randn({72});
  const LayerNorm norm(weight, {}, 1e-5);
  const at::Tensor x = at::randn({90, 72}), residual = at::randn({90, 72});
  const at::Tensor want = Reference(x + residual, weight, {}, 1e-5);
  const at::Tensor x_before = x.clone(), residual_before = residual.clone();
  at::Tensor larger = at::zeros({100, 72}), rows = larger.slice(0, 5, 95);
  norm.Run(x, residual, rows);
  EXPECT_TRUE(at::allclose(rows, want, 1e-5, 1e-5));
  EXPECT_TRUE(at::equal(larger.slice(0, 0, 5), at::zeros({5, 72})));
  EXPECT_TRUE(at::equal(larger.slice(0, 95, 100), at::zeros({5, 72})));
  EXPECT_TRUE(at::equal(x, x_before));
  EXPECT_TRUE(at::equal(residual, residual_before));
  at::Tensor over = residual.clone();
  norm.Run(x, over, over);
  EXPECT_TRUE(at::allclose(over, want, 1e-5, 1e-5)) << "the residual may be overwritten";
}

TEST(LayerNorm, NaN_StaysInItsRow) {
  const LayerNorm norm(at::ones({20}), {}, 1e-5);
  for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = at::randn({3, 20}).to(type);
    x[1][4] = std::numeric_limits<float>::quiet_NaN();
    const at::Tensor bad = norm(x).to(at::kFloat).isnan().any(1);
    EXPECT_FALSE(bad[0].item<bool>());
    EXPECT_TRUE(bad[1].item<bool>());
    EXPECT_FALSE(bad[2].item<bool>());
  }
}

// One pass gives the bytes and scales of two passes: normalise, then quantise what was written.
// 700 rows are more than one thread's share.
TEST(LayerNorm, QuantizedRows_AreThoseOfTheResult) {
  for (const auto& [rows, width] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {5, 7}, {3, 100}, {700, 72}}) {
    const LayerNorm norm(at::randn({width}), at::randn({width}), 1e-5);
    for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      at::Tensor x = at::randn({rows, width}).to(type);
      const at::Tensor residual = at::randn({rows, width}).to(type);
      QuantizedRows quantized;
      const at::Tensor sum = norm.AddNorm(x, residual, &quantized);
      EXPECT_TRUE(at::equal(sum, norm.AddNorm(x, residual)));
      EXPECT_TRUE(at::equal(quantized.values, QuantizeRows(sum).values)) << rows << " x " << width;
      EXPECT_TRUE(at::equal(quantized.scales, QuantizeRows(sum).scales)) << rows << " x " << width;
      x[0].fill_(std::numeric_limits<float>::quiet_NaN());
      const QuantizedRows alone = norm.NormQuantized(x), want = QuantizeRows(norm(x));
      EXPECT_TRUE(at::equal(alone.values, want.values)) << rows << " x " << width;
      EXPECT_TRUE(at::allclose(alone.scales, want.scales, 0, 0, /*equal_nan=*/true))
          << rows << " x " << width;
    }
  }
}

}  // namespace
}  // namespace longspan
