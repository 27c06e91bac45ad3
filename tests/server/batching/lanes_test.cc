#include "server/batching/lanes.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/server/batching/queued_pieces.h"

namespace longspan {
namespace {

using ::testing::DoubleNear;

constexpr auto kEveryLane = [](Lane) { return true; };

LaneOptions NoAgeing(std::array<double, kNumLanes> weights) {
  return {.weights = weights, .ageing = 0};
}

TEST(Lanes, LaneOf_PutsBoundariesIntoTheShorterLane) {
  const LaneOptions options{.short_up_to = 512, .long_up_to = 8192};
  EXPECT_EQ(LaneOf(512, options), Lane::kShort);
  EXPECT_EQ(LaneOf(513, options), Lane::kLong);
  EXPECT_EQ(LaneOf(8192, options), Lane::kLong);
  EXPECT_EQ(LaneOf(8193, options), Lane::kBulk);
}

TEST(Lanes, LaneOf_UsesTheScaleOfLengthClasses_UnlessTold) {
  for (const int64_t bound : {LaneOptions().short_up_to, LaneOptions().long_up_to})
    EXPECT_NE(LengthClassOf(bound), LengthClassOf(bound + 1)) << bound;
}

TEST(Lanes, NextLane_SharesPredictedSecondsByWeight) {
  Lanes lanes(NoAgeing({8, 3, 1}), kNobodyLeft);
  const std::array<double, kNumLanes> cost = {0.01, 0.3, 2.0};
  std::array<double, kNumLanes> served = {};
  for (int lane = 0; lane < kNumLanes; ++lane)
    lanes.Push(static_cast<Lane>(lane), Piece(cost[lane]), "");
  for (double total = 0; total < 600;) {  // every lane always waits
    const Lane lane = *lanes.NextLane(At(0), kEveryLane);
    total += lanes.Take(lane).seconds;
    served[static_cast<int>(lane)] += cost[static_cast<int>(lane)];
    lanes.Push(lane, Piece(cost[static_cast<int>(lane)]), "");
  }
  EXPECT_THAT(served[0], DoubleNear(400, 10));
  EXPECT_THAT(served[1], DoubleNear(150, 6));
  EXPECT_THAT(served[2], DoubleNear(50, 4));
}

TEST(Lanes, NextLane_FollowsTheExampleOfTheHeader) {
  Lanes lanes(NoAgeing({3, 1, 1}), kNobodyLeft);
  std::string order;
  for (int i = 0; i < 8; ++i) {
    lanes.Push(Lane::kShort, Piece(1), "");
    lanes.Push(Lane::kLong, Piece(1), "");
  }
  for (int i = 0; i < 8; ++i) {
    const Lane lane = *lanes.NextLane(At(0), kEveryLane);
    lanes.Take(lane);
    order += lane == Lane::kShort ? 'A' : 'B';
  }
  EXPECT_EQ(order, "ABAAABAA");
}

TEST(Lanes, NextLane_GivesNoCreditForTimeAway) {
  Lanes lanes(NoAgeing({1, 1, 1}), kNobodyLeft);
  for (int i = 0; i < 100; ++i) {
    lanes.Push(Lane::kShort, Piece(1), "");
    lanes.Take(Lane::kShort);
  }
  for (int i = 0; i < 10; ++i) {  // the long lane comes for the first time
    lanes.Push(Lane::kShort, Piece(1), "");
    lanes.Push(Lane::kLong, Piece(1), "");
  }
  int longs = 0;
  for (int i = 0; i < 10; ++i) {
    const Lane lane = *lanes.NextLane(At(0), kEveryLane);
    longs += lane == Lane::kLong;
    lanes.Take(lane);
  }
  EXPECT_THAT(longs, ::testing::AllOf(::testing::Ge(4), ::testing::Le(6)));
}

// The bulk lane has a thousandth of the short lane's share. By the shares alone its second text
// would wait for 1000 s of short ones.
TEST(Lanes, NextLane_ServesALaneOfSmallWeightInBoundedTime_WhenItAges) {
  Lanes lanes({.weights = {1000, 1, 1}, .ageing = 0.1}, kNobodyLeft);
  lanes.Push(Lane::kBulk, Piece(1), "");
  lanes.Take(Lane::kBulk);
  lanes.Push(Lane::kShort, Piece(0.01, 1, 0), "");
  lanes.Push(Lane::kBulk, Piece(1, 1, 0), "");
  double now = 0;
  while (true) {
    ASSERT_LT(now, 30);
    const Lane lane = *lanes.NextLane(At(now), kEveryLane);
    lanes.Take(lane);
    if (lane == Lane::kBulk) break;
    now += 0.01;
    lanes.Push(Lane::kShort, Piece(0.01, 1, now), "");
  }
}

TEST(Lanes, NextLane_KeepsSharesInTheLongRun_WhenAllLanesAge) {
  Lanes lanes({.weights = {4, 1, 1}, .ageing = 0.5}, kNobodyLeft);
  std::map<Lane, double> served;
  double now = 0;
  for (int i = 0; i < 20; ++i) {  // a standing queue of 20 texts each
    lanes.Push(Lane::kShort, Piece(0.1, 1, now), "");
    lanes.Push(Lane::kLong, Piece(0.5, 1, now), "");
  }
  while (now < 1000) {
    const Lane lane = *lanes.NextLane(At(now), kEveryLane);
    const double seconds = lanes.Take(lane).seconds;
    served[lane] += seconds;
    now += seconds;
    lanes.Push(lane, Piece(seconds, 1, now), "");
  }
  EXPECT_THAT(served[Lane::kShort] / served[Lane::kLong], DoubleNear(4, 0.5));
}

TEST(Lanes, NextLaneBefore_OffersOnlyShorterLanes_UntilTheirShareIsUsedUp) {
  Lanes lanes(NoAgeing({8, 3, 1}), kNobodyLeft);
  for (int i = 0; i < 200; ++i) lanes.Push(Lane::kShort, Piece(1), "");
  lanes.Push(Lane::kBulk, Piece(10), "");
  lanes.Push(Lane::kBulk, Piece(10), "");
  lanes.Take(Lane::kBulk);  // runs now: 10 s at weight 1
  double passed = 0;
  while (const std::optional<Lane> lane = lanes.NextLaneBefore(At(0), Lane::kBulk)) {
    ASSERT_EQ(*lane, Lane::kShort);
    passed += lanes.Take(*lane).seconds;
  }
  EXPECT_THAT(passed, DoubleNear(80, 2));  // eight times as much as the long text itself
  EXPECT_EQ(lanes.NextLaneBefore(At(0), Lane::kShort), std::nullopt);
}

}  // namespace
}  // namespace longspan
