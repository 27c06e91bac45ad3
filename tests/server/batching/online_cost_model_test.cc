#include "server/batching/online_cost_model.h"

#include <gmock/gmock.h>

#include <cmath>

#include "server/batching/admission.h"
#include "server/engine/encoder_worker.h"
#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::Ge;
using ::testing::Le;

class OnlineCostModelTest : public ::testing::Test {
 protected:
  // One batch of one text that took `ratio` times what warm-up says.
  void Observe(OnlineCostModel& model, int64_t tokens, double ratio, bool complete = true) {
    const std::vector<TextShape> texts = {tokens};
    model.OnBatch({.lane = LaneOf(tokens, {}),
                   .pieces = 1,
                   .texts = texts,
                   .complete = complete,
                   .tokens = tokens,
                   .compute = absl::Seconds(ratio * MillisecondPerToken(tokens))});
  }
  OnlineCostModel model_{LinearCost(), {}};
};

TEST_F(OnlineCostModelTest, Predicts_WhatWarmUpSaid_BeforeAnyBatch) {
  EXPECT_EQ(model_.TextSeconds(100), MillisecondPerToken(100));
  const std::vector<TextShape> texts = {100, 200};
  EXPECT_THAT(model_.BatchSeconds(texts), DoubleNear(MillisecondPerToken(300), 1e-12));
}

TEST_F(OnlineCostModelTest, Learns_ABadWarmUpWithinFewBatches_InEitherDirection) {
  for (const double truth : {1.0 / 8, 1.0 / 3, 5.0, 20.0}) {
    OnlineCostModel model(LinearCost(), {});
    for (int batch = 0; batch < 24; ++batch) Observe(model, 100, truth);
    EXPECT_THAT(model.TextSeconds(100) / MillisecondPerToken(100) / truth, AllOf(Ge(0.8), Le(1.25)))
        << truth;
  }
}

TEST_F(OnlineCostModelTest, FollowsTheExampleOfTheHeader) {
  for (const double left : {4.0, 2.0, std::sqrt(2.0), std::pow(2, 0.25)}) {
    Observe(model_, 100, 1.0 / 8);
    EXPECT_THAT(model_.factor(Lane::kShort) * 8, DoubleNear(left, 1e-9));
  }
}

TEST_F(OnlineCostModelTest, IsDamped_OneOddBatchMovesItLittle) {
  for (int batch = 0; batch < 10; ++batch) Observe(model_, 100, 1);
  Observe(model_, 100, 1000);
  EXPECT_THAT(model_.factor(Lane::kShort), DoubleNear(std::pow(4, 1.0 / 8), 1e-9));
}

TEST_F(OnlineCostModelTest, IsBounded_HoweverAbsurdTheMeasurements) {
  for (int batch = 0; batch < 1000; ++batch) Observe(model_, 100, 1e9);
  EXPECT_THAT(model_.factor(Lane::kShort), DoubleNear(32, 1e-9));
  for (int batch = 0; batch < 1000; ++batch) Observe(model_, 100, 1e-6);
  EXPECT_THAT(model_.factor(Lane::kShort), DoubleNear(1.0 / 32, 1e-9));
}

TEST_F(OnlineCostModelTest, ALaneThatHasNotRun_BorrowsFromTheOthers_AndThenKeepsItsOwn) {
  for (int batch = 0; batch < 40; ++batch) Observe(model_, 100, 0.25);
  EXPECT_THAT(model_.factor(Lane::kBulk), DoubleNear(0.25, 0.01));
  for (int batch = 0; batch < 40; ++batch) Observe(model_, 20'000, 1);
  EXPECT_THAT(model_.factor(Lane::kBulk), DoubleNear(1, 0.05));
  EXPECT_THAT(model_.factor(Lane::kShort), DoubleNear(0.25, 0.01));
}

TEST_F(OnlineCostModelTest, APassThatLostTexts_OnlyEverRaises) {
  Observe(model_, 100, 0.1, /*complete=*/false);
  EXPECT_EQ(model_.factor(Lane::kShort), 1);
  Observe(model_, 100, 3, /*complete=*/false);
  EXPECT_GT(model_.factor(Lane::kShort), 1.5);
}

// The calibration is that of a pass with all cores, and this one had a quarter of them.
TEST_F(OnlineCostModelTest, APassOnAPartOfTheCores_TeachesThatPartOfItsTime) {
  const std::vector<TextShape> texts = {100};
  for (int batch = 0; batch < 40; ++batch)
    model_.OnBatch({.texts = texts, .compute = absl::Seconds(0.4), .part_of_cores = 0.25});
  const double alone = model_.factor(Lane::kShort);
  OnlineCostModel whole(LinearCost(), {});
  for (int batch = 0; batch < 40; ++batch)
    whole.OnBatch({.texts = texts, .compute = absl::Seconds(0.1)});
  EXPECT_THAT(alone, DoubleNear(whole.factor(Lane::kShort), 1e-9));
}

// The whole loop with real parts and a clock moved by hand. A server whose warm-up ran 6 times too
// slow refuses a deadline behind a backlog, though it could keep it. A few finished batches later
// it accepts the same deadline.
TEST_F(OnlineCostModelTest, ABadWarmUpHealsItself_ThroughWorkerAndAdmission) {
  FakeClock clock;
  Outcomes outcomes;
  OnlineCostModel cost(LinearCost(), {});  // 1 ms a token; in truth 1/6 of that
  Admission admission({}, cost.Corrected().text_seconds, &clock);
  BatchScheduler scheduler({}, cost.Corrected(), &clock);
  const auto deadline_of_a_text_behind_another = [&] {
    const auto held = admission.TryAcquire({.tokens = 400}, absl::InfiniteFuture());
    return admission.TryAcquire({.tokens = 400}, clock.FromTimeout(absl::Milliseconds(200)))
        .status();
  };
  EXPECT_EQ(deadline_of_a_text_behind_another().code(), absl::StatusCode::kResourceExhausted);
  {
    EncoderWorker worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
          clock.Advance(absl::Seconds(MillisecondPerToken(batch.length(0)) / 6));
          return std::vector<absl::StatusOr<EncodedText>>(batch.num_texts(),
                                                          EncodedText{.vector = {1}});
        },
        &scheduler, &cost, &clock);
    for (int number = 1; number <= 8; ++number) {
      scheduler.Submit(MakeTask({.number = number, .lengths = {300}}, clock, outcomes));
      outcomes.AwaitTotal(number);
    }
    scheduler.Drain();
  }
  EXPECT_TRUE(deadline_of_a_text_behind_another().ok());
}

}  // namespace
}  // namespace longspan
