#include "core/layers/rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>

#include <cmath>
#include <vector>

namespace longspan {
namespace {

// The rule written out in double for one token and head.
void RotateHead(float* x, int64_t head_size, double theta, int64_t position) {
  for (int64_t i = 0; i < head_size / 2; ++i) {
    const double angle =
        static_cast<double>(position) *
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
    const double a = x[i], b = x[i + head_size / 2];
    x[i] = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
    x[i + head_size / 2] = static_cast<float>(b * std::cos(angle) + a * std::sin(angle));
  }
}

at::Tensor Reference(const at::Tensor& qkv, const std::vector<int32_t>& cu_seqlens, double theta) {
  at::Tensor out = qkv.clone();
  const int64_t heads = qkv.size(2), head_size = qkv.size(3);
  for (size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
    for (int64_t token = cu_seqlens[text]; token < cu_seqlens[text + 1]; ++token)
      for (int64_t head = 0; head < 2 * heads; ++head)
        RotateHead(out.mutable_data_ptr<float>() + (token * 3 * heads + head) * head_size,
                   head_size, theta, token - cu_seqlens[text]);
  return out;
}

TEST(RotaryEmbedding, RotatesQueriesAndKeys_FromZeroInEachText) {
  for (int64_t head_size : {2, 6, 32, 64, 80}) {
    const std::vector<int32_t> cu_seqlens = {0, 1, 200, 207};
    at::Tensor qkv = at::randn({207, 3, 3, head_size});
    const at::Tensor values = qkv.select(1, 2).clone();
    const at::Tensor want = Reference(qkv, cu_seqlens, 10000.0);
    RotaryEmbedding(head_size, 10000.0).Apply(qkv, cu_seqlens);
    EXPECT_TRUE(at::allclose(qkv, want, 1e-4, 1e-4)) << head_size;
    EXPECT_TRUE(at::equal(qkv.select(1, 2), values)) << "values must not turn";
  }
}

TEST(RotaryEmbedding, BFloat16_RotatesInFloat32) {
  const std::vector<int32_t> cu_seqlens = {0, 50};
  at::Tensor qkv = at::randn({50, 3, 2, 64}).to(at::kBFloat16);
  const at::Tensor want = Reference(qkv.to(at::kFloat), cu_seqlens, 160000.0);
  RotaryEmbedding(64, 160000.0).Apply(qkv, cu_seqlens);
  EXPECT_TRUE(at::allclose(qkv.to(at::kFloat), want, 0.01, 1e-3));
}

TEST(RotaryEmbedding, LongerText_GrowsTheTable) {
  const RotaryEmbedding rope(8, 10000.0);
  for (int32_t length : {3, 600, 40}) {
    at::Tensor qkv = at::randn({length, 3, 1, 8});
    const at::Tensor want = Reference(qkv, {0, length}, 10000.0);
    rope.Apply(qkv, std::vector<int32_t>{0, length});
    EXPECT_TRUE(at::allclose(qkv, want, 1e-3, 2e-3)) << length;
  }
}

}  // namespace
}  // namespace longspan
