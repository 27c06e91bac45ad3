#include "server/engine/shared_device.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

absl::Time At(int64_t ms) { return absl::UnixEpoch() + absl::Milliseconds(ms); }

TEST(SharedDevice, APassAlone_HasAllOfItsTime) {
  SharedDevice device;
  EXPECT_EQ(device.Computed(At(10), At(18)), absl::Milliseconds(8));
  EXPECT_EQ(device.Computed(At(30), At(35)), absl::Milliseconds(5)) << "the device was idle before";
}

TEST(SharedDevice, APassInTheQueue_HasTheTimeBehindTheOneBefore) {
  SharedDevice device;
  EXPECT_EQ(device.Computed(At(0), At(8)), absl::Milliseconds(8));
  EXPECT_EQ(device.Computed(At(3), At(15)), absl::Milliseconds(7));
  EXPECT_EQ(device.Computed(At(9), At(20)), absl::Milliseconds(5));
}

// Threads tell of their ends a little late, and in any order.
TEST(SharedDevice, IsNeverNegative) {
  SharedDevice device;
  device.Computed(At(0), At(20));
  EXPECT_EQ(device.Computed(At(1), At(19)), absl::ZeroDuration());
  EXPECT_EQ(device.Computed(At(18), At(25)), absl::Milliseconds(5));
}

}  // namespace
}  // namespace longspan
