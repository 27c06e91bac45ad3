#include "server/batching/task_timer.h"

#include <gtest/gtest.h>

#include "tests/server/batching/fake_clock.h"

namespace longspan {
namespace {

class TaskTimerTest : public ::testing::Test {
 protected:
  void Pass(int milliseconds) { clock_.Advance(absl::Milliseconds(milliseconds)); }
  BatchShape Batch() const { return {clock_.Now(), 2, 20}; }
  void Expect(const StageTimings& timings, Stage stage, int tokenize, int queue, int compute) {
    EXPECT_EQ(timings.stage, stage) << StageName(timings.stage);
    EXPECT_EQ(timings.tokenize, absl::Milliseconds(tokenize));
    EXPECT_EQ(timings.queue, absl::Milliseconds(queue));
    EXPECT_EQ(timings.compute, absl::Milliseconds(compute));
    EXPECT_EQ(timings.total, absl::Milliseconds(tokenize + queue + compute));
  }

  FakeClock clock_;
  TaskTimer timer_{&clock_, clock_.Now()};
};

TEST_F(TaskTimerTest, Read_TellsStageAndTimes_InTheMiddleOfEachStage) {
  Pass(1);
  Expect(timer_.Read(), Stage::kAwaitTokenizer, 0, 1, 0);
  timer_.BeginPreparation();
  Pass(2);
  Expect(timer_.Read(), Stage::kTokenize, 2, 1, 0);
  timer_.EndPreparation();
  Pass(4);
  Expect(timer_.Read(), Stage::kQueue, 2, 5, 0);
  const BatchShape batch = Batch();
  timer_.BeginCompute(batch);
  Pass(8);
  Expect(timer_.Read(), Stage::kCompute, 2, 5, 8);
  timer_.EndCompute(batch);
  Expect(timer_.End(/*answered=*/true), Stage::kCompute, 2, 5, 8);
  Pass(16);
  Expect(timer_.Read(), Stage::kSend, 2, 5, 8);
}

TEST_F(TaskTimerTest, Read_ChangesNothing) {
  timer_.BeginPreparation();
  for (int i = 0; i < 3; ++i) {
    Pass(1);
    timer_.Read();
  }
  timer_.EndPreparation();
  Expect(timer_.Read(), Stage::kQueue, 3, 0, 0);
}

TEST_F(TaskTimerTest, ATaskThatEndsWithoutAnAnswer_StaysInItsStage_AndCountsNoMore) {
  timer_.BeginPreparation();
  timer_.EndPreparation();
  timer_.BeginCompute(Batch());
  Pass(5);
  Expect(timer_.End(/*answered=*/false), Stage::kCompute, 0, 0, 5);
  Pass(7);
  timer_.BeginCompute(Batch());
  timer_.EndCompute(Batch());
  Expect(timer_.Read(), Stage::kCompute, 0, 0, 5);
  EXPECT_TRUE(timer_.ended());
}

TEST_F(TaskTimerTest, APieceBackInTheQueueBesideOneThatRuns_IsStillComputing) {
  timer_.EndPreparation();
  const BatchShape batch = Batch();
  timer_.BeginCompute(batch);
  timer_.BeginCompute(batch);
  Pass(3);
  timer_.EndCompute(batch);
  Pass(4);
  Expect(timer_.Read(), Stage::kCompute, 0, 0, 7);
}

}  // namespace
}  // namespace longspan
