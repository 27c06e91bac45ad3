// What the line of progress says.
#include "client/bulk/progress.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

TEST(ProgressTest, ShowsSpeedOfThisRun_AndTheTimeLeft) {
  const ProgressState begin{.texts = 1000, .tokens = 50'000, .share = 0.25};
  const ProgressState now{.texts = 12'345, .rejects = 3, .tokens = 1'050'000, .share = 0.5};
  EXPECT_EQ(ProgressLine(begin, now, absl::Seconds(100)),
            "[###############...............]  50 %  12,345 texts  3 rejected  10,000 tokens/s  "
            "3 min 20 s left");
}

TEST(ProgressTest, OfUnknownSize_HasNoBar) {
  EXPECT_EQ(ProgressLine({}, {.texts = 1, .tokens = 7}, absl::Seconds(7)), "1 text  1 tokens/s");
}

TEST(ProgressTest, AtTheBeginningAndTheEnd_NoTimeIsLeft) {
  const ProgressState begin{.share = 0.0};
  EXPECT_EQ(ProgressLine(begin, begin, absl::ZeroDuration()),
            "[..............................]   0 %  0 texts  0 tokens/s");
  EXPECT_EQ(ProgressLine(begin, {.texts = 2, .tokens = 4, .share = 1.0}, absl::Seconds(2)),
            "[##############################] 100 %  2 texts  2 tokens/s");
}

TEST(ProgressTest, LongTimes_AreInHours) {
  EXPECT_EQ(ProgressLine({.share = 0.0}, {.share = 0.01}, absl::Seconds(100)),
            "[..............................]   1 %  0 texts  0 tokens/s  2 h 45 min left");
}

}  // namespace
}  // namespace longspan
