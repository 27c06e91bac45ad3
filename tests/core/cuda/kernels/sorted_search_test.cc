#include "core/cuda/kernels/sorted_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace longspan::cuda {
namespace {

TEST(FirstPlace, IsThatOfLowerBound) {
  std::mt19937 random(1);
  for (int size = 0; size < 40; ++size) {
    std::vector<int> values(static_cast<size_t>(size));
    for (int& x : values) x = static_cast<int>(random() % 50);
    std::sort(values.begin(), values.end());
    for (int x = -1; x <= 51; ++x) {
      for (int begin = 0; begin <= size; ++begin) {
        const auto want = std::lower_bound(values.begin() + begin, values.end(), x);
        ASSERT_EQ(FirstPlace(begin, size, [&](int32_t i) { return values[i] >= x; }),
                  want - values.begin());
      }
    }
  }
}

}  // namespace
}  // namespace longspan::cuda
