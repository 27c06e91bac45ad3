// Every implementation of RopeToken that this processor runs against the portable one, which is the
// formula written out. rope_test compares Rope with a formula of its own.
#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/kernels/rope.h"
#include "tests/core/kernels/elements.h"

namespace longspan::kernels {
namespace {

TEST(RopeToken, EqualsPortable_ForEveryHeadSize_AndLeavesTheRest) {
  constexpr int64_t kTokens = 3, kHeads = 2, kToken = 1, kPosition = 4;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    for (int64_t head_size : {2, 6, 24, 30, 32, 34, 48, 64, 66, 80, 96, 128, 200}) {
      const int64_t stride = (kHeads + 1) * head_size;  // the last head is not to be rotated
      std::vector<float> values(kTokens * stride);
      std::vector<float> cos((kPosition + 1) * head_size / 2), sin(cos.size());
      for (std::vector<float>* x : {&values, &cos, &sin})
        for (float& value : *x) value = normal(random);
      RopeParams params = {.type = type,
                           .token_stride = stride,
                           .num_heads = kHeads,
                           .head_size = head_size,
                           .cos = cos.data(),
                           .sin = sin.data()};
      const Elements before(values, type);
      Elements want(values, type);
      params.x = want.at(0);
      RopeTokenPortable(params, kToken, kPosition);
      for (const auto& [name, needs, rotate_token] : RopeImplementations()) {
        Elements got(values, type);
        params.x = got.at(0);
        rotate_token(params, kToken, kPosition);
        const float error = type == ElementType::kFloat32 ? 1e-6f : 8e-3f;  // relative
        const float least = type == ElementType::kFloat32 ? 1e-6f : 1e-4f;  // absolute
        for (int64_t i = 0; i < kTokens * stride; ++i) {
          if (i < stride || i >= stride + kHeads * head_size)
            ASSERT_EQ(got.bits(i), before.bits(i))
                << name << " D " << head_size << " element " << i;
          else
            ASSERT_NEAR(got[i], want[i], error * std::fabs(want[i]) + least)
                << name << " D " << head_size << " element " << i;
        }
        ASSERT_TRUE(got.GuardIsUntouched()) << name << " D " << head_size;
      }
    }
  }
}

}  // namespace
}  // namespace longspan::kernels
