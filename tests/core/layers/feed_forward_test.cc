#include "core/layers/feed_forward.h"
#include "tests/core/compute_team.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>

namespace longspan {
namespace {

constexpr int64_t kWidth = 24, kWide = 40;

class FeedForwardTest : public ::testing::Test {
 protected:
  at::Tensor up_ = at::randn({kWide, kWidth}) / 4, up_bias_ = at::randn({kWide});
  at::Tensor gate_ = at::randn({kWide, kWidth}) / 4;
  at::Tensor down_ = at::randn({kWidth, kWide}) / 4, down_bias_ = at::randn({kWidth});
  at::Tensor norm_weight_ = at::randn({kWidth});
  FeedForward dense_{Linear(up_, up_bias_, DataType::kFloat32, Activation::kGelu),
                     Linear(down_, down_bias_, DataType::kFloat32)};
  FeedForward gated_{Linear(up_, {}, DataType::kFloat32, Activation::kGelu),
                     Linear(gate_, {}, DataType::kFloat32), Linear(down_, {}, DataType::kFloat32)};
  LayerNorm norm_{norm_weight_, {}, 1e-5};

  at::Tensor Dense(const at::Tensor& x) const {
    return at::linear(at::gelu(at::linear(x, up_, up_bias_)), down_, down_bias_);
  }
  at::Tensor Gated(const at::Tensor& x) const {
    return at::linear(at::gelu(at::linear(x, up_)) * at::linear(x, gate_), down_);
  }
  at::Tensor Norm(const at::Tensor& x) const {
    return at::layer_norm(x, {kWidth}, norm_weight_, {}, 1e-5);
  }
};

const int64_t kLengths[] = {1, 7, 512, 1500};

TEST_F(FeedForwardTest, Dense_EqualsTheFormula) {
  for (int64_t tokens : kLengths) {
    const at::Tensor x = at::randn({tokens, kWidth});
    EXPECT_TRUE(at::allclose(dense_(x), Dense(x), 1e-5, 1e-5)) << tokens;
  }
}

TEST_F(FeedForwardTest, Gated_MultipliesTheActivatedHalfByTheGate) {
  for (int64_t tokens : kLengths) {
    const at::Tensor x = at::randn({tokens, kWidth});
    EXPECT_TRUE(at::allclose(gated_(x), Gated(x), 1e-5, 1e-5)) << tokens;
  }
}

TEST_F(FeedForwardTest, AddPreNorm_AddsToTheStream) {
  for (int64_t tokens : kLengths) {
    at::Tensor stream = at::randn({tokens, kWidth});
    const at::Tensor want = stream + Gated(Norm(stream));
    gated_.AddPreNorm(stream, norm_);
    EXPECT_TRUE(at::allclose(stream, want, 1e-5, 1e-5)) << tokens;
  }
}

}  // namespace
}  // namespace longspan
