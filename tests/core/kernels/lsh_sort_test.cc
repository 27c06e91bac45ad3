#include "core/kernels/lsh_sort.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace longspan::kernels {
namespace {

std::vector<int32_t> StableOrder(const std::vector<int32_t>& buckets) {
  std::vector<int32_t> order(buckets.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return buckets[a] < buckets[b]; });
  return order;
}

TEST(LshSort, GroupsByBucketAndKeepsTextOrder) {
  const std::vector<int32_t> buckets = {3, 0, 3, 1};
  std::vector<int32_t> slots(4);
  LshSort(buckets.data(), 4, 4, slots.data());
  EXPECT_THAT(slots, testing::ElementsAre(1, 3, 0, 2));
}

TEST(LshSort, EqualsStableSort_ForAnyNumberOfBuckets) {
  std::mt19937 random(2);
  for (int32_t n : {1, 2, 100, 5000}) {
    for (int32_t num_buckets : {1, 5, 2047, 2048, 2049, 16385, 4194304, 4194305, 2147483647}) {
      std::vector<int32_t> buckets(n);
      for (int32_t& bucket : buckets)
        bucket = std::uniform_int_distribution<int32_t>(0, num_buckets - 1)(random);
      if (n > 2) {  // equal buckets, and the largest
        buckets[0] = buckets[1];
        buckets[n / 2] = num_buckets - 1;
        buckets[n - 1] = num_buckets - 1;
      }
      std::vector<int32_t> slots(n, -1);
      LshSort(buckets.data(), n, num_buckets, slots.data());
      EXPECT_EQ(slots, StableOrder(buckets)) << n << " slots, " << num_buckets << " buckets";
    }
  }
}

}  // namespace
}  // namespace longspan::kernels
