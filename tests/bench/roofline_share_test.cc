#include "tests/bench/roofline_share.h"

#include <gmock/gmock.h>

namespace longspan::bench {
namespace {

using testing::DoubleNear;

Limit At(double work, double rate) {
  return {.work = work, .before = {rate * 2e-3, 2e-3}, .after = {rate * 3e-3, 3e-3}};
}

TEST(RooflineShare, IsTheBoundOverThePass) {
  EXPECT_THAT((Repetition{.seconds = 0.02, .units = {At(6e9, 420e9)}}.Share()),
              DoubleNear(0.7143, 1e-4));
}

TEST(Limit, Rate_IsThatOfBothSlicesTogether) {
  const Limit limit = {.work = 6e9, .before = {4e9, 0.01}, .after = {4.4e9, 0.01}};
  EXPECT_DOUBLE_EQ(limit.Rate(), 420e9);
  EXPECT_DOUBLE_EQ(limit.Seconds(), 6.0 / 420);
}

// Half of the FLOP at 400 G/s and half at 100 G/s: the slow half takes four times as long.
TEST(RooflineShare, OfSeveralUnits_AddsTheirTimes) {
  const Repetition mixed = {.seconds = 0.05, .units = {At(2e9, 400e9), At(2e9, 100e9)}};
  EXPECT_DOUBLE_EQ(mixed.Bound(), 0.005 + 0.02);
  EXPECT_DOUBLE_EQ(mixed.Share(), 0.5);
}

TEST(RooflineShare, MemoryBindsWhereItTakesLonger) {
  Repetition pass = {.seconds = 0.04, .units = {At(1e9, 100e9)}, .memory = At(1e9, 50e9)};
  EXPECT_DOUBLE_EQ(pass.Bound(), 0.02);
  pass.memory = At(1e9, 500e9);
  EXPECT_DOUBLE_EQ(pass.Bound(), 0.01);
  pass.units.clear();
  EXPECT_DOUBLE_EQ(pass.Bound(), 0.002);
}

// A machine at half speed for some repetitions slows their passes and their slices, and the share
// stays. The best pass over the mean of the slices, or one repetition's pass over another's slice,
// would give up to twice the share.
TEST(RooflineShare, DoesNotMixRepetitions) {
  std::vector<Repetition> run;
  for (double speed : {1.0, 0.5, 1.0, 0.5, 0.25, 1.0, 0.5})
    run.push_back({.seconds = 0.01 / speed, .units = {At(0.94e9, 100e9 * speed)}});
  EXPECT_DOUBLE_EQ(MedianShare(run), 0.94);
}

// One repetition in which the pass or a slice lost its processor does not move the median.
TEST(RooflineShare, OfARunIsTheMedian) {
  std::vector<Repetition> run(5, {.seconds = 0.01, .units = {At(0.9e9, 100e9)}});
  run[1].seconds = 0.1;
  run[3].units = {At(0.9e9, 20e9)};
  EXPECT_DOUBLE_EQ(MedianShare(run), 0.9);
  EXPECT_DOUBLE_EQ(Median({4, 1, 3, 2}), 2.5);
  EXPECT_DOUBLE_EQ(MedianShare({}), 0);
}

}  // namespace
}  // namespace longspan::bench
