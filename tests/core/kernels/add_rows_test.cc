#include "core/kernels/add_rows.h"

#include <gmock/gmock.h>

#include <vector>

#include "core/kernels/bfloat16.h"

namespace longspan::kernels {
namespace {

TEST(AddRows, AddsEachRowWhereItBelongs) {
  constexpr int kRows = 40, kWidth = 19;
  std::vector<int32_t> rows;
  // All rows differ, because 7 and 40 have no common factor.
  for (int i = 0; i < kRows / 2; ++i) rows.push_back((i * 7) % kRows);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    std::vector<float> from, to(kRows * kWidth, 0.5f);
    std::vector<BFloat16> halves;
    for (size_t i = 0; i < rows.size() * kWidth; ++i) {
      from.push_back(static_cast<float>(i % 200));  // exact in bfloat16
      FromFloat(from.back(), &halves.emplace_back());
    }
    AddRows({.from = type == ElementType::kFloat32 ? static_cast<const void*>(from.data())
                                                   : halves.data(),
             .type = type,
             .to = to.data(),
             .rows = rows.data(),
             .count = static_cast<int64_t>(rows.size()),
             .width = kWidth});
    std::vector<float> want(kRows * kWidth, 0.5f);
    for (size_t i = 0; i < rows.size(); ++i) {
      for (int j = 0; j < kWidth; ++j) want[rows[i] * kWidth + j] += from[i * kWidth + j];
    }
    EXPECT_EQ(to, want);
  }
}

TEST(AddRows, WithoutRows_AddsInOrder) {
  const std::vector<float> from = {1, 2, 3, 4};
  std::vector<float> to = {10, 20, 30, 40, 50, 60};
  AddRows({.from = from.data(), .to = to.data(), .count = 2, .width = 2});
  EXPECT_THAT(to, testing::ElementsAre(11, 22, 33, 44, 50, 60));
}

}  // namespace
}  // namespace longspan::kernels
