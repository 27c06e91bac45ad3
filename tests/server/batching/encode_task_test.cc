#include "server/batching/encode_task.h"

#include <gmock/gmock.h>

#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

class EncodeTaskTest : public ::testing::Test {
 protected:
  EncodeTask::BatchShape Shape(int32_t pieces = 1) const {
    return {clock_.Now(), pieces, 10 * pieces};
  }
  static absl::StatusOr<EncodedText> Vector(std::vector<float> values) {
    return EncodedText{.vector = std::move(values)};
  }

  FakeClock clock_;
  Outcomes outcomes_;
};

TEST_F(EncodeTaskTest, Destructor_CompletesAForgottenTask_WithInternal) {
  MakeTask({.number = 1}, clock_, outcomes_).reset();
  EXPECT_EQ(outcomes_.count(1), 1u);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kInternal);
}

TEST_F(EncodeTaskTest, Complete_RunsDoneOnce_WhoeverComesFirst) {
  auto task = MakeTask({.number = 1}, clock_, outcomes_);
  EXPECT_TRUE(task->Complete(absl::CancelledError("first")));
  EXPECT_FALSE(task->Complete(EncodedDocument{}));
  task->BeginCompute(Shape());
  task->CompletePiece(0, Vector({1}), Shape());
  task.reset();
  EXPECT_EQ(outcomes_.count(1), 1u);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kCancelled);
}

TEST_F(EncodeTaskTest, Complete_GivesThePermitBackBeforeDone) {
  Admission admission({}, MillisecondPerToken, &clock_);
  EncodeTask::Params params{.permit =
                                *admission.TryAcquire({.tokens = 10}, absl::InfiniteFuture())};
  int64_t tasks_left = -1;
  params.done = [&](absl::StatusOr<EncodedDocument>, const StageTimings&) {
    tasks_left = admission.backlog().tasks;
  };
  EncodeTask(std::move(params), &clock_).Complete(absl::CancelledError("gone"));
  EXPECT_EQ(tasks_left, 0);
}

TEST_F(EncodeTaskTest, Complete_FreesWhatDoneHolds_BeforeTheTaskIsFreed) {
  auto held = std::make_shared<int>(1);
  EncodeTask::Params params;
  params.done = [held](absl::StatusOr<EncodedDocument>, const StageTimings&) {};
  EncodeTask task(std::move(params), &clock_);
  task.Complete(absl::CancelledError("gone"));
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(EncodeTaskTest, CompletePiece_WaitsForAllPieces_AndAveragesByTokenCount) {
  auto task = MakeTask({.number = 1, .lengths = {30, 10}}, clock_, outcomes_);
  for (int piece = 0; piece < 2; ++piece) task->BeginCompute(Shape());
  task->CompletePiece(1, Vector({4, 0}), Shape());
  EXPECT_EQ(outcomes_.count(1), 0u);
  task->CompletePiece(0, Vector({0, 8}), Shape());
  EXPECT_THAT(outcomes_.only(1).result->vector,
              ElementsAre(FloatNear(1, 1e-6), FloatNear(6, 1e-6)));
}

TEST_F(EncodeTaskTest, CompletePiece_FailsTheTaskAtOnce_OnTheFirstError) {
  auto task = MakeTask({.number = 1, .lengths = {30, 10}}, clock_, outcomes_);
  for (int piece = 0; piece < 2; ++piece) task->BeginCompute(Shape());
  task->CompletePiece(1, absl::InternalError("NaN"), Shape());
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kInternal);
  EXPECT_EQ(task->Abandoned().code(), absl::StatusCode::kAborted);
  task->CompletePiece(0, Vector({0, 8}), Shape());
  EXPECT_EQ(outcomes_.count(1), 1u);
}

TEST_F(EncodeTaskTest, Abandoned_TellsCancelledFromExpired) {
  auto cancel = std::make_shared<CancelFlag>();
  auto task =
      MakeTask({.number = 1, .timeout = absl::Seconds(3), .cancel = cancel}, clock_, outcomes_);
  EXPECT_TRUE(task->Abandoned().ok());
  clock_.Advance(absl::Seconds(3));
  EXPECT_EQ(task->Abandoned().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(task->Abandoned().message()), HasSubstr("after 3s"));
  cancel->Cancel();
  EXPECT_EQ(task->Abandoned().code(), absl::StatusCode::kCancelled);
}

TEST_F(EncodeTaskTest, Timings_AddUpToTheTotal_OverTwoBatches) {
  EncodeTask::Params params{.arrival = clock_.Now()};
  params.done = outcomes_.Record(7);
  EncodeTask task(std::move(params), &clock_);
  clock_.Advance(absl::Milliseconds(1));  // waits for the tokenizer
  task.BeginPreparation();
  clock_.Advance(absl::Milliseconds(2));
  PreparedText prepared;
  prepared.pieces.resize(2);
  prepared.document = {{0, -1, 1}, {1, -1, 1}};
  task.SetPrepared(std::move(prepared));
  for (int32_t piece = 0; piece < 2; ++piece) {
    clock_.Advance(absl::Milliseconds(10));  // waits for a worker
    const EncodeTask::BatchShape shape{clock_.Now(), 3, 99};
    task.BeginCompute(shape);
    clock_.Advance(absl::Milliseconds(100));
    task.CompletePiece(piece, Vector({1}), shape);
  }
  const StageTimings timings = outcomes_.only(7).timings;
  EXPECT_EQ(timings.tokenize, absl::Milliseconds(2));
  EXPECT_EQ(timings.queue, absl::Milliseconds(21));
  EXPECT_EQ(timings.compute, absl::Milliseconds(200));
  EXPECT_EQ(timings.total, absl::Milliseconds(223));
  EXPECT_EQ(timings.batch_pieces, 3);
  EXPECT_EQ(timings.batch_tokens, 99);
  EXPECT_EQ(timings.stage, Stage::kCompute);
}

TEST_F(EncodeTaskTest, Timings_NameTheStageThatTheTaskEndedIn) {
  EncodeTask(EncodeTask::Params{.arrival = clock_.Now(), .done = outcomes_.Record(1)}, &clock_)
      .Complete(absl::CancelledError(""));
  EXPECT_EQ(outcomes_.only(1).timings.stage, Stage::kAwaitTokenizer);
  EncodeTask preparing({.arrival = clock_.Now(), .done = outcomes_.Record(4)}, &clock_);
  preparing.BeginPreparation();
  clock_.Advance(absl::Seconds(2));
  preparing.Complete(absl::CancelledError(""));
  EXPECT_EQ(outcomes_.only(4).timings.stage, Stage::kTokenize);
  EXPECT_EQ(outcomes_.only(4).timings.tokenize, absl::Seconds(2));
  MakeTask({.number = 2}, clock_, outcomes_)->Complete(absl::CancelledError(""));
  EXPECT_EQ(outcomes_.only(2).timings.stage, Stage::kQueue);
  auto running = MakeTask({.number = 3}, clock_, outcomes_);
  running->BeginCompute(Shape());
  clock_.Advance(absl::Seconds(1));
  running->Complete(absl::CancelledError(""));
  EXPECT_EQ(outcomes_.only(3).timings.stage, Stage::kCompute);
  EXPECT_EQ(outcomes_.only(3).timings.compute, absl::Seconds(1));
}

}  // namespace
}  // namespace longspan
