// What the server does once a second: it looks for workers that are stuck or dead, and gives memory
// back when it is idle.
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <thread>

#include "absl/synchronization/notification.h"
#include "server/engine/idle_trimmer.h"
#include "server/engine/periodic.h"
#include "server/engine/thread_cpu_time.h"
#include "server/engine/watchdog.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);
absl::Time At(double seconds) { return kStart + absl::Seconds(seconds); }

TEST(JudgeWorker, ABusyWorkerIsGood_WhileItGivesSigns) {
  EXPECT_EQ(JudgeWorker({.busy = false, .last_sign = kStart}, At(1e6), 20), WorkerState::kGood);
  EXPECT_EQ(
      JudgeWorker({.busy = true, .since = kStart, .last_sign = At(990), .predicted_seconds = 1},
                  At(1000), 20),
      WorkerState::kGood);
}

TEST(JudgeWorker, SilenceBeyondTheFactorIsStuck_AndTwiceThatIsDead_ButNeverBelowAMinute) {
  const EncoderWorker::Heartbeat long_batch{
      .busy = true, .since = kStart, .last_sign = kStart, .predicted_seconds = 10};
  EXPECT_EQ(JudgeWorker(long_batch, At(199), 20), WorkerState::kGood);
  EXPECT_EQ(JudgeWorker(long_batch, At(201), 20), WorkerState::kStuck);
  EXPECT_EQ(JudgeWorker(long_batch, At(401), 20), WorkerState::kDead);
  const EncoderWorker::Heartbeat tiny_batch{
      .busy = true, .since = kStart, .last_sign = kStart, .predicted_seconds = 0.001};
  EXPECT_EQ(JudgeWorker(tiny_batch, At(59), 20), WorkerState::kGood);
  EXPECT_EQ(JudgeWorker(tiny_batch, At(61), 20), WorkerState::kStuck);
}

// A request that makes a pass compute for long must not end the process.
TEST(JudgeWorker, AWorkerThatComputesIsNeverDead_HoweverLongItReachesNoSeam) {
  EncoderWorker::Heartbeat computing{
      .busy = true, .since = kStart, .last_sign = kStart, .predicted_seconds = 0.001};
  for (double seconds = 1; seconds < 1e6; seconds *= 1.3) {
    computing.last_used_cpu = At(seconds - 1);
    EXPECT_EQ(JudgeWorker(computing, At(seconds), 20),
              seconds <= 600 ? WorkerState::kGood : WorkerState::kStuck)
        << seconds;
  }
  // It waits from now on.
  computing.last_used_cpu = At(300);
  EXPECT_EQ(JudgeWorker(computing, At(300 + 59), 20), WorkerState::kGood);
  EXPECT_EQ(JudgeWorker(computing, At(300 + 61), 20), WorkerState::kStuck);
  EXPECT_EQ(JudgeWorker(computing, At(300 + 121), 20), WorkerState::kDead);
}

// A thread that waits for a card spins: what it uses says nothing, and a card that hangs is found.
TEST(JudgeWorker, AWorkerOnACardIsDead_WhereItReachesNoSeam_WhateverItsThreadUses) {
  EncoderWorker::Heartbeat waiting{
      .busy = true, .since = kStart, .last_sign = kStart, .predicted_seconds = 0.001};
  EXPECT_EQ(WorkerOptions::NoCpuTime(), absl::ZeroDuration());
  EXPECT_EQ(JudgeWorker(waiting, At(59), 20), WorkerState::kGood);
  EXPECT_EQ(JudgeWorker(waiting, At(61), 20), WorkerState::kStuck);
  EXPECT_EQ(JudgeWorker(waiting, At(121), 20), WorkerState::kDead);
}

TEST(CpuTimeOfThisThread, GrowsWhileTheThreadComputes_AndIsReadFromOthers) {
  absl::Notification made, seen, done;
  std::function<absl::Duration()> cpu_time;
  std::atomic<bool> compute = true;
  std::thread thread([&] {
    cpu_time = CpuTimeOfThisThread();
    made.Notify();
    while (compute) {
    }
    seen.WaitForNotification();
    done.Notify();
  });
  made.WaitForNotification();
  while (cpu_time() < absl::Milliseconds(5)) {
  }
  compute = false;
  seen.Notify();
  done.WaitForNotification();
  thread.join();
  EXPECT_GE(cpu_time(), absl::Milliseconds(5));
}

TEST(JudgeWorker, ALostDeviceIsDeadAtOnce) {
  EXPECT_EQ(JudgeWorker({.device_lost = true, .last_sign = kStart}, kStart, 20),
            WorkerState::kDead);
}

TEST(Watchdog, ReportsChangesOnly_AndNothingAfterDeath) {
  WorkerState now = WorkerState::kGood;
  std::vector<WorkerState> reports;
  Watchdog watchdog([&] { return now; }, [&](WorkerState state) { reports.push_back(state); });
  for (const WorkerState state :
       {WorkerState::kGood, WorkerState::kStuck, WorkerState::kStuck, WorkerState::kGood,
        WorkerState::kStuck, WorkerState::kDead, WorkerState::kDead, WorkerState::kGood}) {
    now = state;
    watchdog.Look();
  }
  EXPECT_THAT(reports, ElementsAre(WorkerState::kStuck, WorkerState::kGood, WorkerState::kStuck,
                                   WorkerState::kDead));
}

class IdleTrimmerTest : public ::testing::Test {
 protected:
  IdleTrimmer::Activity activity_;
  int trims_ = 0;
  IdleTrimmer trimmer_{[this] { return activity_; }, [this] { ++trims_; }, absl::Seconds(5)};
};

TEST_F(IdleTrimmerTest, TrimsOnce_AfterIdleTime) {
  activity_.tasks = 3;
  for (int second = 0; second < 5; ++second) trimmer_.Look(At(second));
  EXPECT_EQ(trims_, 0);
  for (int second = 5; second < 100; ++second) trimmer_.Look(At(second));
  EXPECT_EQ(trims_, 1);
}

TEST_F(IdleTrimmerTest, NeverTrimsUnderLoad_NorBetweenShortTexts) {
  for (int second = 0; second < 100; ++second) {
    activity_.busy = second < 50;         // one long text
    if (second >= 50) ++activity_.tasks;  // then texts that come and go between two looks
    trimmer_.Look(At(second));
  }
  EXPECT_EQ(trims_, 0);
}

TEST_F(IdleTrimmerTest, TrimsAgain_AfterWorkThatCameMeanwhile) {
  for (int second = 0; second < 10; ++second) trimmer_.Look(At(second));
  activity_.tasks = 1;
  for (int second = 10; second < 20; ++second) trimmer_.Look(At(second));
  EXPECT_EQ(trims_, 2);
}

TEST(Periodic, StepsUntilItIsDestroyed) {
  absl::Notification second_step;
  std::atomic<int> steps = 0;
  {
    Periodic periodic(
        [&] {
          if (++steps == 2) second_step.Notify();
        },
        absl::Microseconds(1));
    second_step.WaitForNotification();
  }
  const int at_the_end = steps;
  EXPECT_GE(at_the_end, 2);
}

}  // namespace
}  // namespace longspan
