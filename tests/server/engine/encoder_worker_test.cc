#include "server/engine/encoder_worker.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <new>
#include <set>
#include <stdexcept>

#include "absl/synchronization/notification.h"
#include "core/error_details.h"
#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Results = std::vector<absl::StatusOr<EncodedText>>;

// What a correct encoder answers in these tests: the text's number.
Results Echo(const TokenBatch& batch) {
  Results results;
  for (int32_t i = 0; i < batch.num_texts(); ++i) {
    results.push_back(
        EncodedText{.vector = {static_cast<float>(batch.token_ids()[batch.cu_seqlens()[i]])}});
  }
  return results;
}

class RecordingObserver : public BatchObserver {
 public:
  void OnBatch(const BatchReport& report) override {
    reports.push_back(report);
    lengths.emplace_back();
    for (const TextShape& text : report.texts) lengths.back().push_back(text.tokens);
  }
  void OnQueueTime(Lane, absl::Duration waited) override { waits.push_back(waited); }
  void OnOutOfMemorySplit(int32_t texts) override { splits.push_back(texts); }
  std::vector<BatchReport> reports;
  std::vector<std::vector<int64_t>> lengths;
  std::vector<absl::Duration> waits;
  std::vector<int32_t> splits;
};

class EncoderWorkerTest : public ::testing::Test {
 protected:
  void Submit(TaskParams params) {
    scheduler_.Submit(MakeTask(std::move(params), clock_, outcomes_));
  }
  // Runs everything submitted on one worker.
  void Run(EncodeFunction encode) {
    scheduler_.Drain();
    EncoderWorker worker(std::move(encode), &scheduler_, &observer_, &clock_);
  }
  float Value(int64_t number) const { return outcomes_.only(number).result.value().vector.at(0); }

  FakeClock clock_;
  Outcomes outcomes_;
  RecordingObserver observer_;
  BatchScheduler scheduler_{
      {.lanes = {.short_up_to = 50, .long_up_to = 100}}, LinearCost(), &clock_};
};

// Predictions are corrected by what a device computed, and not by what it did before.
TEST_F(EncoderWorkerTest, InTheQueueOfADevice_ABatchCountsFromTheEndOfTheOneBefore) {
  auto device = std::make_shared<SharedDevice>();
  const absl::Time start = clock_.Now();
  Submit({.number = 1, .lengths = {10}});
  scheduler_.Drain();
  WorkerOptions options;
  options.device = device;
  {
    EncoderWorker worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
          clock_.Advance(absl::Milliseconds(30));
          device->Computed(start, start + absl::Milliseconds(20));  // another worker's pass
          return Echo(batch);
        },
        &scheduler_, &observer_, &clock_, options);
  }
  ASSERT_EQ(observer_.reports.size(), 1u);
  EXPECT_EQ(observer_.reports[0].compute, absl::Milliseconds(10));
  EXPECT_EQ(observer_.reports[0].part_of_cores, 1);
}

// What one worker of a card has lost, the others need not try.
TEST_F(EncoderWorkerTest, ADeviceThatAnotherWorkerHasLost_IsGone) {
  WorkerOptions options;
  options.device = std::make_shared<SharedDevice>();
  Submit({.number = 1, .lengths = {10}});
  scheduler_.Drain();
  options.device->Lose();
  bool computed = false;
  {
    EncoderWorker worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
          computed = true;
          return Echo(batch);
        },
        &scheduler_, &observer_, &clock_, options);
  }
  EXPECT_FALSE(computed);
  EXPECT_EQ(outcomes_.only(1).result.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EncoderWorkerTest, Run_GivesEachTextItsOwnAnswer_AndReportsTheBatch) {
  for (int number = 1; number <= 3; ++number) Submit({.number = number, .lengths = {10 * number}});
  clock_.Advance(absl::Milliseconds(5));
  Run([&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
    clock_.Advance(absl::Milliseconds(30));
    return Echo(batch);
  });
  for (int number = 1; number <= 3; ++number) EXPECT_EQ(Value(number), number);
  ASSERT_EQ(observer_.reports.size(), 1u);
  const BatchReport& report = observer_.reports[0];
  EXPECT_EQ(report.pieces, 3);
  EXPECT_EQ(report.tokens, 60);
  EXPECT_EQ(report.wasted_ratio(), 0);
  EXPECT_TRUE(report.complete);
  EXPECT_THAT(observer_.lengths[0], ElementsAre(10, 20, 30));
  EXPECT_NEAR(report.prediction_error(), 1.0, 1e-6);  // 60 ms predicted, 30 ms measured
  EXPECT_THAT(observer_.waits,
              ElementsAre(absl::Milliseconds(5), absl::Milliseconds(5), absl::Milliseconds(5)));
  EXPECT_EQ(outcomes_.only(1).timings.compute, absl::Milliseconds(30));
}

// The pass grows half way: it ran on half of the cores for 20 ms, and on all of them for 20 ms.
TEST_F(EncoderWorkerTest, Run_ComputesWithTheThreadsThatTheSchedulerGives) {
  BatchScheduler scheduler(
      {.max_batch_tokens = 100, .cores = {.workers = 2, .threads = 1, .follow_load = true}},
      LinearCost(), &clock_);
  absl::Notification begun;
  std::thread other([&] {
    const auto batch = scheduler.NextBatch();
    begun.WaitForNotification();
    Answer(*batch, clock_);
    scheduler.EndPass(batch->threads);
  });
  clock_.AwaitWaiters(1);
  std::vector<int> threads;
  {
    EncoderWorker worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
          begun.Notify();
          other.join();
          threads.push_back(control.threads());
          control.at_seam();
          clock_.Advance(absl::Milliseconds(20));
          control.at_seam();
          threads.push_back(control.threads());
          clock_.Advance(absl::Milliseconds(20));
          return Echo(batch);
        },
        &scheduler, &observer_, &clock_);
    clock_.AwaitWaiters(2);
    scheduler.Submit(MakeTask({.number = 1, .lengths = {10, 10}}, clock_, outcomes_));
    begun.WaitForNotification();
    scheduler.Drain();
  }
  EXPECT_THAT(threads, ElementsAre(1, 2));
  ASSERT_EQ(observer_.reports.size(), 1u);
  EXPECT_THAT(observer_.reports[0].part_of_cores, ::testing::DoubleNear(0.75, 1e-9));
}

TEST_F(EncoderWorkerTest, Run_AnswersACancelledTextWithinOneLayer_AndDropsItFromThePass) {
  auto cancel = std::make_shared<CancelFlag>();
  Submit({.number = 1, .cancel = cancel});
  Submit({.number = 2});
  Run([&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
    control.at_seam();
    EXPECT_FALSE(control.is_dropped(0));
    cancel->Cancel();
    control.at_seam();
    EXPECT_TRUE(control.is_dropped(0));
    EXPECT_FALSE(control.is_dropped(1));
    EXPECT_EQ(outcomes_.count(1), 1u) << "answered while the pass still runs";
    Results results = Echo(batch);
    results[0] = absl::CancelledError("dropped");
    return results;
  });
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kCancelled);
  EXPECT_EQ(outcomes_.only(1).timings.stage, Stage::kCompute);
  EXPECT_EQ(Value(2), 2);
}

TEST_F(EncoderWorkerTest, Run_TellsExpiredFromCancelled_BetweenLayers) {
  Submit({.number = 1, .timeout = absl::Seconds(1)});
  Run([&](const TokenBatch&, std::span<const EncodeOptions>, const EncodeControl& control) {
    clock_.Advance(absl::Seconds(1));
    control.at_seam();
    EXPECT_TRUE(control.is_dropped(0));
    EXPECT_EQ(outcomes_.count(1), 1u) << "answered while the pass still runs";
    return Results{absl::CancelledError("dropped")};
  });
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EncoderWorkerTest, Run_GivesATextDroppedAfterTheLastSeamItsOwnReason) {
  Submit({.number = 1, .timeout = absl::Seconds(1)});
  Run([&](const TokenBatch&, std::span<const EncodeOptions>, const EncodeControl& control) {
    control.at_seam();
    clock_.Advance(absl::Seconds(1));
    EXPECT_TRUE(control.is_dropped(0));
    EXPECT_EQ(outcomes_.count(1), 0u) << "a question answers nobody";
    return Results{absl::CancelledError("dropped")};
  });
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EncoderWorkerTest, Run_HalvesABatchThatDoesNotFit_AndNamesTheTextThatFailsAlone) {
  for (int number = 1; number <= 5; ++number)
    Submit({.number = number, .lengths = {number == 3 ? 40 : 10}});
  std::vector<int32_t> tries;
  Run([&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
    tries.push_back(batch.num_texts());
    if (batch.num_tokens() <= 25) return Echo(batch);
    return Results(batch.num_texts(), absl::ResourceExhaustedError("out of memory"));
  });
  for (const int number : {1, 2, 4, 5}) EXPECT_EQ(Value(number), number);
  // Nothing else held memory, so that trying again would not help.
  EXPECT_EQ(outcomes_.code(3), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(outcomes_.only(3).result.status().message()),
              HasSubstr("inputs[3] with 40 tokens"));
  EXPECT_EQ(RetryAfterOf(outcomes_.only(3).result.status()), std::nullopt);
  EXPECT_EQ(ReasonOf(outcomes_.only(3).result.status()), kReasonMemory);
  EXPECT_THAT(tries, ElementsAre(5, 3, 2, 1, 2));
  EXPECT_THAT(observer_.splits, ElementsAre(5, 3));
  EXPECT_EQ(outcomes_.total(), 5);
}

TEST_F(EncoderWorkerTest, Run_KeepsGoodAnswers_WhenOnlyPartOfABatchIsOutOfMemory) {
  for (int number = 1; number <= 2; ++number) Submit({.number = number});
  int calls = 0;
  Run([&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
    Results results = Echo(batch);
    if (++calls == 1) results[1] = absl::ResourceExhaustedError("out of memory");
    return results;
  });
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(Value(1), 1);
  EXPECT_EQ(Value(2), 2);
}

TEST_F(EncoderWorkerTest, Run_TurnsExceptionsIntoErrorsOfThatBatch_AndGoesOn) {
  Submit({.number = 1, .lengths = {10}});
  Submit({.number = 2, .lengths = {60}});
  Submit({.number = 3, .lengths = {200}});
  Run([&](const TokenBatch& batch, std::span<const EncodeOptions>,
          const EncodeControl&) -> Results {
    if (batch.num_tokens() == 10) throw std::runtime_error("boom");
    if (batch.num_tokens() == 60) throw std::bad_alloc();
    return Echo(batch);
  });
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(outcomes_.only(1).result.status().message()), HasSubstr("boom"));
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kFailedPrecondition) << "alone, and no memory";
  EXPECT_EQ(Value(3), 3);
}

// The other worker's pass holds memory: before the attempt, or begun and ended in its middle.
TEST_F(EncoderWorkerTest, Run_LetsTheCallerTryAgain_WhereOthersHeldMemoryMeanwhile) {
  for (const bool begins_in_the_middle : {false, true}) {
    BatchScheduler scheduler({.cores = {.workers = 2, .threads = 1}}, LinearCost(), &clock_);
    const int64_t number = begins_in_the_middle ? 2 : 1;
    const auto run_other = [&](const std::function<void()>& while_it_runs) {
      scheduler.Submit(MakeTask({.number = 100 + number}, clock_, outcomes_));
      const auto batch = scheduler.NextBatch();
      while_it_runs();
      Answer(*batch, clock_);
      scheduler.EndPass(batch->threads);
    };
    const auto run_large = [&] {
      scheduler.Submit(MakeTask({.number = number}, clock_, outcomes_));
      EncoderWorker worker(
          [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
            if (begins_in_the_middle) run_other([] {});
            return Results(batch.num_texts(), absl::ResourceExhaustedError("out of memory"));
          },
          &scheduler, nullptr, &clock_);
      outcomes_.AwaitTotal(begins_in_the_middle ? 4 : 1);
      scheduler.Drain();
    };
    if (begins_in_the_middle) {
      run_large();
    } else {
      run_other(run_large);
    }
    EXPECT_EQ(outcomes_.code(number), absl::StatusCode::kResourceExhausted);
    EXPECT_NE(RetryAfterOf(outcomes_.only(number).result.status()), std::nullopt);
    EXPECT_EQ(ReasonOf(outcomes_.only(number).result.status()), kReasonMemory);
  }
}

TEST_F(EncoderWorkerTest, Run_ReportsAPassThatLostATextAsIncomplete) {
  auto cancel = std::make_shared<CancelFlag>();
  Submit({.number = 1, .cancel = cancel});
  Submit({.number = 2});
  Run([&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
    cancel->Cancel();
    control.at_seam();
    return Echo(batch);
  });
  EXPECT_FALSE(observer_.reports.at(0).complete);
}

// Who was in the batch may have killed the device, and nobody should try that again. The others may
// go elsewhere.
TEST_F(EncoderWorkerTest, Run_AnswersInternalWhereTheDeviceWasLost_AndAsksItNoMore) {
  std::set<int64_t> computed;
  int calls = 0;
  for (int number = 1; number <= 3; ++number) Submit({.number = number, .lengths = {60}});
  Submit({.number = 4, .lengths = {10}});  // another lane: another batch
  scheduler_.Drain();
  EncoderWorker worker(
      [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
        ++calls;
        for (const auto& text : Echo(batch)) computed.insert(std::lround(text->vector[0]));
        return Results(batch.num_texts(), absl::Status(kDeviceLost, "fell off the bus"));
      },
      &scheduler_, &observer_, &clock_);
  outcomes_.AwaitTotal(4);
  EXPECT_TRUE(worker.heartbeat().device_lost);
  EXPECT_EQ(worker.heartbeat().device_error, "fell off the bus");
  EXPECT_EQ(calls, 1);
  EXPECT_LT(computed.size(), 4u);
  for (int number = 1; number <= 4; ++number) {
    const absl::Status& status = outcomes_.only(number).result.status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("device is lost"));
    EXPECT_EQ(status.code(), computed.contains(number) ? absl::StatusCode::kInternal
                                                       : absl::StatusCode::kUnavailable)
        << number;
    EXPECT_EQ(RetryAfterOf(status).has_value(), !computed.contains(number));
  }
}

// Other processes may hold the memory of a card: nobody knows whether it never fits.
TEST_F(EncoderWorkerTest, Run_LetsTheCallerTryAgain_WhereOthersMayShareTheMemory) {
  for (int number = 1; number <= 3; ++number)
    Submit({.number = number, .lengths = {number == 2 ? 40 : 10}});
  scheduler_.Drain();
  {
    EncoderWorker worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
          if (batch.num_tokens() < 40) return Echo(batch);
          return Results(batch.num_texts(), absl::ResourceExhaustedError("CUDA out of memory"));
        },
        &scheduler_, &observer_, &clock_,
        {.piece_bytes = [](const TextShape& text) { return text.tokens << 20; },
         .shares_memory = true});
  }
  for (const int number : {1, 3}) EXPECT_EQ(Value(number), number);
  const absl::Status& status = outcomes_.only(2).result.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "inputs[2] with 40 tokens takes about 41 MiB and does not fit in memory even alone "
            "beside what others compute now: CUDA out of memory");
  EXPECT_NE(RetryAfterOf(status), std::nullopt);
  EXPECT_EQ(ReasonOf(status), kReasonMemory);
}

TEST_F(EncoderWorkerTest, FailRunning_AnswersTheTextsOfAHungBatch) {
  Submit({.number = 1});
  absl::Notification running, release;
  EncoderWorker worker(
      [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
        running.Notify();
        release.WaitForNotification();
        return Echo(batch);
      },
      &scheduler_, &observer_, &clock_);
  running.WaitForNotification();
  worker.FailRunning(absl::InternalError("hangs"));
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kInternal);
  release.Notify();
  scheduler_.Drain();
}

TEST_F(EncoderWorkerTest, Run_RefusesAWrongNumberOfResults) {
  Submit({.number = 1});
  Run([](const TokenBatch&, std::span<const EncodeOptions>, const EncodeControl&) {
    return Results{};
  });
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kInternal);
}

TEST_F(EncoderWorkerTest, Run_LetsShortTextsPassBetweenTheLayersOfALongOne) {
  Submit({.number = 1, .lengths = {200}});
  std::vector<int64_t> lengths;
  Run([&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
    lengths.push_back(batch.num_tokens());
    if (batch.num_tokens() == 200) {
      control.at_seam();  // before layer 0
      clock_.Advance(absl::Seconds(1));
      control.at_seam();  // before layer 1
    } else {
      clock_.Advance(absl::Milliseconds(10));
    }
    return Echo(batch);
  });
  EXPECT_THAT(lengths, ElementsAre(200));  // drained: nothing came in between

  BatchScheduler scheduler({.lanes = {.short_up_to = 50, .long_up_to = 100}}, LinearCost(),
                           &clock_);
  scheduler.Submit(MakeTask({.number = 2, .lengths = {200}}, clock_, outcomes_));
  lengths.clear();
  observer_.reports.clear();
  {
    EncoderWorker worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
          lengths.push_back(batch.num_tokens());
          clock_.Advance(absl::Milliseconds(10));
          if (batch.num_tokens() != 200) return Echo(batch);
          control.at_seam();
          scheduler.Submit(MakeTask({.number = 3, .lengths = {20}}, clock_, outcomes_));
          EXPECT_EQ(outcomes_.count(3), 0u);
          control.at_seam();
          EXPECT_EQ(outcomes_.count(3), 1u) << "answered before the long text";
          EXPECT_EQ(outcomes_.count(2), 0u);
          return Echo(batch);
        },
        &scheduler, &observer_, &clock_);
    outcomes_.AwaitTotal(3);
    scheduler.Drain();
  }
  EXPECT_THAT(lengths, ElementsAre(200, 20));
  EXPECT_EQ(Value(2), 2);
  EXPECT_EQ(Value(3), 3);
  ASSERT_EQ(observer_.reports.size(), 2u);
  EXPECT_EQ(observer_.reports[0].compute, absl::Milliseconds(10));
  EXPECT_EQ(observer_.reports[1].compute, absl::Milliseconds(10))
      << "the long pass is not charged with the short one";
}

// is_dropped is a question without side effects: whatever is asked and how often, no other batch
// runs, nobody is answered and the heart does not beat. The next seam does all three.
TEST_F(EncoderWorkerTest, IsDropped_IsAPureQuestion) {
  auto cancel = std::make_shared<CancelFlag>();
  BatchScheduler scheduler({.lanes = {.short_up_to = 50, .long_up_to = 100}}, LinearCost(),
                           &clock_);
  const absl::Time start = clock_.Now();
  scheduler.Submit(MakeTask({.number = 1, .lengths = {200}}, clock_, outcomes_));
  scheduler.Submit(MakeTask({.number = 2, .lengths = {200}, .cancel = cancel}, clock_, outcomes_));
  std::atomic<EncoderWorker*> worker = nullptr;
  absl::Notification made;
  std::vector<int64_t> lengths;
  {
    EncoderWorker encoder_worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
          lengths.push_back(batch.num_tokens());
          if (batch.num_tokens() != 400) return Echo(batch);
          made.WaitForNotification();
          control.at_seam();
          scheduler.Submit(MakeTask({.number = 3, .lengths = {20}}, clock_, outcomes_));
          clock_.Advance(absl::Seconds(1));
          cancel->Cancel();
          for (int layer = 0; layer < 3; ++layer) {
            EXPECT_FALSE(control.is_dropped(0));
            EXPECT_TRUE(control.is_dropped(1));
          }
          EXPECT_EQ(outcomes_.total(), 0);
          EXPECT_EQ(worker.load()->heartbeat().last_sign, start);
          control.at_seam();
          EXPECT_EQ(outcomes_.count(2), 1u);
          EXPECT_EQ(outcomes_.count(3), 1u);
          EXPECT_EQ(worker.load()->heartbeat().last_sign, start + absl::Seconds(1));
          Results results = Echo(batch);
          results[1] = absl::CancelledError("dropped");
          return results;
        },
        &scheduler, &observer_, &clock_);
    worker = &encoder_worker;
    made.Notify();
    outcomes_.AwaitTotal(3);
    scheduler.Drain();
  }
  EXPECT_THAT(lengths, ElementsAre(400, 20));
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kCancelled);
}

// The scheduler chose the long batch a moment ago, so nothing is let ahead of it before it begins;
// nor before a half of it that is run again.
TEST_F(EncoderWorkerTest, AtSeam_LetsNothingAheadBeforeTheFirstLayer) {
  BatchScheduler scheduler({.lanes = {.short_up_to = 50, .long_up_to = 100}}, LinearCost(),
                           &clock_);
  for (int number = 1; number <= 2; ++number)
    scheduler.Submit(MakeTask({.number = number, .lengths = {200}}, clock_, outcomes_));
  std::vector<int64_t> lengths;
  {
    EncoderWorker worker(
        [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
          lengths.push_back(batch.num_tokens());
          if (batch.num_tokens() == 20) return Echo(batch);
          if (batch.num_tokens() == 400)
            scheduler.Submit(MakeTask({.number = 3, .lengths = {20}}, clock_, outcomes_));
          control.at_seam();
          EXPECT_EQ(outcomes_.count(3), 0u);
          if (batch.num_tokens() == 200) return Echo(batch);
          return Results(2, absl::ResourceExhaustedError("out of memory"));
        },
        &scheduler, &observer_, &clock_);
    outcomes_.AwaitTotal(3);
    scheduler.Drain();
  }
  EXPECT_THAT(lengths, ElementsAre(400, 200, 200, 20));
}

TEST_F(EncoderWorkerTest, Look_NotesWhenTheThreadWasSeenToCompute) {
  absl::Notification running, seen;
  std::atomic<int64_t> milliseconds = 0;  // of CPU time
  EncoderWorker worker(
      [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl&) {
        running.Notify();
        seen.WaitForNotification();
        return Echo(batch);
      },
      &scheduler_, nullptr, &clock_,
      {.cpu_time = [&] { return absl::Milliseconds(milliseconds.load()); }});
  Submit({.number = 1, .lengths = {40}});
  running.WaitForNotification();
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(worker.Look().last_used_cpu, absl::InfinitePast());
  milliseconds = 900;
  EXPECT_EQ(worker.Look().last_used_cpu, clock_.Now());
  const absl::Time computed = clock_.Now();
  clock_.Advance(absl::Seconds(500));
  milliseconds = 901;  // a thread that waits still wakes up now and then
  EXPECT_EQ(worker.Look().last_used_cpu, computed);
  EXPECT_EQ(worker.Look().last_sign, computed - absl::Seconds(5));
  seen.Notify();
  outcomes_.AwaitTotal(1);
  scheduler_.Drain();
}

TEST_F(EncoderWorkerTest, Heartbeat_ShowsTheRunningBatch_AndItsLastSeam) {
  absl::Notification running, seen;
  EncoderWorker worker(
      [&](const TokenBatch& batch, std::span<const EncodeOptions>, const EncodeControl& control) {
        control.at_seam();
        clock_.Advance(absl::Seconds(3));
        control.at_seam();
        running.Notify();
        seen.WaitForNotification();
        return Echo(batch);
      },
      &scheduler_, nullptr, &clock_);
  EXPECT_FALSE(worker.heartbeat().busy);
  const absl::Time start = clock_.Now();
  Submit({.number = 1, .lengths = {40}});
  running.WaitForNotification();
  const EncoderWorker::Heartbeat heartbeat = worker.heartbeat();
  EXPECT_TRUE(heartbeat.busy);
  EXPECT_EQ(heartbeat.since, start);
  EXPECT_EQ(heartbeat.last_sign, start + absl::Seconds(3));
  EXPECT_NEAR(heartbeat.predicted_seconds, 0.04, 1e-9);
  seen.Notify();
  outcomes_.AwaitTotal(1);
  scheduler_.Drain();
}

}  // namespace
}  // namespace longspan
