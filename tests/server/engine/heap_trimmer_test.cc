// When memory that is free again goes back to the system while the server is busy.
#include "server/engine/heap_trimmer.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

TEST(HeapTrimmerTest, TrimsWhatIsFreeAboveTheRest_AndNotAgainBeforeThePause) {
  int64_t unused = 500;
  int trims = 0;
  HeapTrimmer trimmer([&] { return unused; }, [&] { ++trims; }, /*most=*/100, absl::Seconds(5));
  absl::Time now = absl::UnixEpoch();
  trimmer.Look(now);
  EXPECT_EQ(trims, 0) << "500 bytes are what the start leaves";
  unused = 600;
  trimmer.Look(now += absl::Seconds(1));
  EXPECT_EQ(trims, 0);
  unused = 601;
  trimmer.Look(now += absl::Seconds(1));
  EXPECT_EQ(trims, 1);
  trimmer.Look(now += absl::Seconds(4));
  EXPECT_EQ(trims, 1) << "it is tried once in five seconds";
  trimmer.Look(now += absl::Seconds(1));
  EXPECT_EQ(trims, 2);
}

}  // namespace
}  // namespace longspan
