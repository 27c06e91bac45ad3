// The device's activations against their definitions in double precision.
#include "core/cuda/kernels/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/cuda/kernels/reference_activation.h"

namespace longspan::cuda {
namespace {

using kernels::Activation;

constexpr double kSqrtTwoOverPi = 0.79788456080286535588;

template <Activation kActivation>
double LargestError() {
  double largest = 0;
  for (int i = -400'000; i <= 400'000; ++i) {
    const float x = static_cast<float>(i) * 1e-4F;
    const double error = std::fabs(Activate<kActivation>(x) - reference::Activate(kActivation, x));
    largest = std::fmax(largest, error / (1 + std::fabs(x)));
  }
  return largest;
}

TEST(DeviceActivations, AreTheExactOnes) {
  EXPECT_EQ(LargestError<Activation::kNone>(), 0);
  EXPECT_EQ(LargestError<Activation::kRelu>(), 0);
  EXPECT_LT(LargestError<Activation::kGelu>(), 3e-6);
  EXPECT_LT(LargestError<Activation::kGeluTanh>(), 5e-7);
  EXPECT_LT(LargestError<Activation::kSilu>(), 5e-7);
  EXPECT_LT(LargestError<Activation::kTanh>(), 3e-7);
}

// A bfloat16 is rounded by up to 2^-9 of itself.
TEST(DeviceActivations, TanhKeepsItsDigitsNearZero) {
  for (float x = 1e-30F; x < 40; x *= 1.01F) {
    ASSERT_NEAR(Tanh(x) / std::tanh(double{x}), 1, 1e-6) << x;
    ASSERT_EQ(Tanh(-x), -Tanh(x)) << x;
  }
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Far from 0 they are 0 and x.
template <Activation kActivation>
void ExpectEndsAtZeroAndAtX() {
  for (const float x : {200.0F, 1e4F, 1e30F, 3e38F, kInfinity}) {
    EXPECT_EQ(Activate<kActivation>(x), x) << x;
    if (x == kInfinity) continue;  // -inf times 0
    EXPECT_EQ(Activate<kActivation>(-x), 0) << -x;
  }
  EXPECT_EQ(Activate<kActivation>(0.0F), 0.0F);
  EXPECT_TRUE(std::isnan(Activate<kActivation>(kNan)));
}

TEST(DeviceActivations, EndWhereTheirLimitsAre) {
  ExpectEndsAtZeroAndAtX<Activation::kGeluTanh>();
  ExpectEndsAtZeroAndAtX<Activation::kRelu>();
  ExpectEndsAtZeroAndAtX<Activation::kSilu>();
  for (const float x : {50.0F, 1e4F, 1e30F, 3e38F, kInfinity}) {
    EXPECT_EQ(Tanh(x), 1) << x;
    EXPECT_EQ(Tanh(-x), -1) << -x;
  }
  EXPECT_TRUE(std::isnan(Tanh(kNan)));
  EXPECT_EQ(Activate<Activation::kNone>(-kInfinity), -kInfinity);
}

}  // namespace
}  // namespace longspan::cuda
