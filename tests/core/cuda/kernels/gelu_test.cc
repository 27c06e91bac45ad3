// The device's GELU against the definition by erf.
#include "core/cuda/kernels/gelu.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/cuda/kernels/reference_activation.h"

namespace longspan::cuda {
namespace {

double Exact(double x) { return reference::Activate(kernels::Activation::kGelu, x); }

TEST(DeviceGelu, IsTheExactOneTo3e6) {
  for (int i = -400'000; i <= 400'000; ++i) {
    const float x = static_cast<float>(i) * 5e-5F;
    ASSERT_NEAR(Gelu(x), Exact(x), 3e-6 + 1e-6 * std::fabs(x)) << x;
  }
}

// Relative to a bfloat16's half unit in the last place (2^-9), where the result is not tiny.
TEST(DeviceGelu, IsTheExactOneInBfloat16) {
  for (int i = -60'000; i <= 400'000; ++i) {
    const float x = static_cast<float>(i) * 5e-5F;
    if (x == 0) continue;
    ASSERT_LT(std::fabs(Gelu(x) / Exact(x) - 1), 0.002) << x;
  }
}

TEST(DeviceGelu, EndsAtZeroAndAtX) {
  EXPECT_EQ(Gelu(0.0F), 0.0F);
  for (const float x : {7.0F, 30.0F, 1e4F, 1e30F, 3e38F}) {
    EXPECT_FLOAT_EQ(Gelu(x), x);
    EXPECT_LE(Gelu(-x), 0.0F) << x;
    EXPECT_GT(Gelu(-x), -1e-8F) << x;
  }
  EXPECT_EQ(Gelu(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(Gelu(NAN)));
}

}  // namespace
}  // namespace longspan::cuda
