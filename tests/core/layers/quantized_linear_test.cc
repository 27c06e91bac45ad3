#include "core/layers/quantized_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "core/kernels/cpu_features.h"
#include "core/layers/feed_forward.h"
#include "core/layers/linear.h"
#include "tests/core/compute_team.h"

namespace longspan {
namespace {

using kernels::Activation;

constexpr Activation kActivations[] = {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                       Activation::kRelu, Activation::kSilu, Activation::kTanh};

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kFloat) - want).norm() / want.norm()).item<double>();
}

TEST(QuantizeRows, IsTheRule) {
  const QuantizedRows rows =
      QuantizeRows(at::tensor({0.5f, -2.0f, 1.0f, 0.0f, 0.0f, 0.0f}).view({2, 3}));
  EXPECT_NEAR(rows.scales[0].item<float>(), 2.0 / 127, 1e-7);
  EXPECT_TRUE(
      at::equal(rows.values, at::tensor({160, 1, 192, 128, 128, 128}, at::kByte).view({2, 3})));
  EXPECT_EQ(rows.scales[1].item<float>(), 0);
}

TEST(QuantizeRows, ErrorIsAtMostHalfAStep_InBothTypesAndForEveryWidth) {
  for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (int64_t width : {1, 15, 16, 17, 384, 1000}) {
      const at::Tensor x = at::randn({200, width}).to(type);
      const QuantizedRows rows = QuantizeRows(x);
      const at::Tensor back = (rows.values.to(at::kFloat) - 128).mul(rows.scales.unsqueeze(1));
      const at::Tensor steps = (back - x.to(at::kFloat)).abs().amax(1).div(rows.scales);
      EXPECT_LT(steps.max().item<float>(), 0.502) << width;
    }
  }
}

// The largest value of a weight on this processor. Without VNNI a weight is narrower by one bit, so
// that sums of pairs do not saturate.
int WeightLevels() { return kernels::GetCpuFeatures().avx512_vnni ? 127 : 63; }
// The bound for this processor, given the one for 127 levels. The error has two parts, of
// activations and of weights; half the levels double the second.
double Bound(double of_127_levels) {
  return WeightLevels() == 127 ? of_127_levels : 1.5 * of_127_levels;
}

class QuantizedLinearTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const absl::Status supported = CheckDataTypeSupported(DataType::kInt8); !supported.ok())
      GTEST_SKIP() << supported;
  }
};

TEST_F(QuantizedLinearTest, EqualsFloat_WithinTheQuantisationError) {
  for (int64_t rows : {1, 2, 7, 64, 500, 1100}) {
    const at::Tensor weight = at::randn({96, 160}), bias = at::randn({96});
    const at::Tensor x = at::randn({rows, 160});
    for (const at::Tensor& b : {bias, at::Tensor()}) {
      const Linear linear(weight, b, DataType::kInt8);
      const at::Tensor want = at::linear(x, weight, b);
      EXPECT_LT(RelativeError(linear(x), want), Bound(0.02)) << rows;
      const at::Tensor half = linear(x.to(at::kBFloat16));
      EXPECT_EQ(half.scalar_type(), at::kBFloat16);
      EXPECT_LT(RelativeError(half, want), Bound(0.02)) << rows;
      EXPECT_EQ(linear(x, at::kBFloat16).scalar_type(), at::kBFloat16);
    }
  }
}

// int8 holds these values exactly. Nothing but the rounding of float32 may differ, so a wrong
// offset or a saturated sum cannot hide.
TEST_F(QuantizedLinearTest, IsExact_OnIntegers) {
  for (int64_t width : {16, 77, 3072}) {
    const int levels = WeightLevels();
    at::Tensor x = at::randint(-127, 128, {70, width}).to(at::kFloat);
    at::Tensor weight = at::randint(-levels, levels + 1, {40, width}).to(at::kFloat);
    x.select(1, 0).fill_(127);  // so that the scale is 1
    weight.select(1, 0).fill_(-levels);
    x[0].fill_(127);  // the largest sums there are, of either sign
    weight[0].fill_(-levels);
    weight[1].fill_(levels);
    const at::Tensor want = at::linear(x.to(at::kDouble), weight.to(at::kDouble)).to(at::kFloat);
    const at::Tensor got = Linear(weight, {}, DataType::kInt8)(x);
    // Sums reach 49,000,000, where the bound is 8 steps of float32.
    EXPECT_LT((got - want).abs().max().item<float>(), 1 + width / 100.0) << width;
  }
}

TEST(NarrowWeight, PairsOfProductsFit16Bits_AndHalfAStepIsTheError) {
  const at::Tensor weight = at::randn({40, 300});
  const QuantizedWeight wide = QuantizeWeight(weight), narrow = NarrowWeight(wide);
  EXPECT_EQ(narrow.values.scalar_type(), at::kChar);
  EXPECT_EQ(narrow.values.to(at::kInt).abs().max().item<int>(), 63);
  EXPECT_LE(2 * 255 * narrow.values.to(at::kInt).abs().max().item<int>(), 32767);
  const auto restored = [](const QuantizedWeight& w) {
    return w.values.to(at::kFloat).mul(w.scales.unsqueeze(1));
  };
  const at::Tensor steps = (restored(narrow) - restored(wide)).abs().amax(1).div(narrow.scales);
  EXPECT_LT(steps.max().item<float>(), 0.501);
}

TEST_F(QuantizedLinearTest, Activations_EqualTheSeparateOnes) {
  const at::Tensor weight = at::randn({130, 64}).div_(4), bias = at::randn({130});
  const at::Tensor x = at::randn({90, 64});
  const at::Tensor plain = Linear(weight, bias, DataType::kInt8)(x);
  for (Activation activation : kActivations) {
    at::Tensor want = plain.clone();
    ApplyActivation(activation, want);
    EXPECT_TRUE(
        at::allclose(Linear(weight, bias, DataType::kInt8, activation)(x), want, 1e-4, 2e-5))
        << static_cast<int>(activation);
  }
}

TEST_F(QuantizedLinearTest, ChannelsOfZeros_GiveTheBias) {
  at::Tensor weight = at::randn({8, 16});
  weight[3].zero_();
  const at::Tensor y = Linear(weight, at::ones({8}), DataType::kInt8)(at::randn({5, 16}));
  EXPECT_TRUE(at::equal(y.select(1, 3), at::ones({5})));
}

TEST_F(QuantizedLinearTest, NonFiniteRows_ComeOutAsNaN_AndOnlyThey) {
  const Linear linear(at::randn({24, 40}), {}, DataType::kInt8, Activation::kRelu);
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    at::Tensor x = at::randn({3, 40});
    x[1][17] = bad;
    const at::Tensor nan = linear(x).isnan();
    EXPECT_FALSE(nan[0].any().item<bool>());
    EXPECT_TRUE(nan[1].all().item<bool>());
    EXPECT_FALSE(nan[2].any().item<bool>());
  }
}

class QuantizedFeedForwardTest : public QuantizedLinearTest,
                                 public ::testing::WithParamInterface<int64_t> {};

TEST_P(QuantizedFeedForwardTest, DenseAndGated_AreNearTheFloatForm) {
  const int64_t tokens = GetParam();
  const at::Tensor up = at::randn({200, 64}).div_(8), up_bias = at::randn({200}).div_(4);
  const at::Tensor gate = at::randn({200, 64}).div_(8);
  const at::Tensor down = at::randn({64, 200}).div_(14), down_bias = at::randn({64}).div_(4);
  const at::Tensor x = at::randn({tokens, 64});
  const auto dense = [&](DataType dtype) {
    return FeedForward(Linear(up, up_bias, dtype, Activation::kGelu),
                       Linear(down, down_bias, dtype));
  };
  const auto gated = [&](DataType dtype) {
    return FeedForward(Linear(up, {}, dtype, Activation::kGelu), Linear(gate, {}, dtype),
                       Linear(down, {}, dtype));
  };
  EXPECT_LT(RelativeError(dense(DataType::kInt8)(x), dense(DataType::kFloat32)(x)), Bound(0.03));
  EXPECT_LT(RelativeError(gated(DataType::kInt8)(x), gated(DataType::kFloat32)(x)), Bound(0.03));
  EXPECT_LT(
      RelativeError(gated(DataType::kInt8)(x.to(at::kBFloat16)), gated(DataType::kFloat32)(x)),
      Bound(0.03));
  if (CheckDataTypeSupported(DataType::kBFloat16).ok()) {
    EXPECT_LT(RelativeError(dense(DataType::kBFloat16)(x), dense(DataType::kFloat32)(x)), 0.01);
  }
}

INSTANTIATE_TEST_SUITE_P(Blocks, QuantizedFeedForwardTest, ::testing::Values(1, 512, 513, 1300));

}  // namespace
}  // namespace longspan
