// Many producers and several workers, with cancels, deadlines, memory failures and shutdowns at
// random, while the clock is moved by hand. No text is lost, none is answered twice, each answer is
// that of its own text, and every permit comes back.
#include <gmock/gmock.h>

#include <functional>
#include <random>
#include <thread>

#include "server/batching/admission.h"
#include "server/engine/encoder_worker.h"
#include "server/engine/queue_reaper.h"
#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

constexpr int kProducers = 4, kTextsEach = 2500, kWorkers = 2;

// Answers each text with its number, so that a mixed-up answer shows. Throws and runs out of memory
// at random, like a real device.
class FakeEncoder {
 public:
  explicit FakeEncoder(uint64_t seed) : random_(seed) {}

  std::vector<absl::StatusOr<EncodedText>> operator()(const TokenBatch& batch,
                                                      std::span<const EncodeOptions> options,
                                                      const EncodeControl& control) {
    std::vector<bool> dropped(batch.num_texts());
    for (int layer = 0; layer < 3; ++layer) {
      control.at_seam();
      for (int32_t i = 0; i < batch.num_texts(); ++i)
        dropped[i] = dropped[i] || control.is_dropped(i);
    }
    const int dice = static_cast<int>(random_() % 100);
    if (dice == 0) throw std::runtime_error("device error");
    std::vector<absl::StatusOr<EncodedText>> results;
    for (int32_t i = 0; i < batch.num_texts(); ++i) {
      if (dropped[i]) {
        results.push_back(absl::CancelledError("dropped"));
      } else if (dice < 5 && batch.num_texts() > 1) {
        results.push_back(absl::ResourceExhaustedError("out of memory"));
      } else {
        results.push_back(
            EncodedText{.vector = {static_cast<float>(batch.token_ids()[batch.cu_seqlens()[i]])}});
      }
    }
    return results;
  }

 private:
  std::minstd_rand random_;
};

class Producer {
 public:
  Producer(int index, FakeClock& clock, Admission& admission, BatchScheduler& scheduler,
           Outcomes& outcomes)
      : index_(index),
        clock_(clock),
        admission_(admission),
        scheduler_(scheduler),
        outcomes_(outcomes),
        random_(index + 1) {}

  // `half_way` is called before the second half.
  void Run(const std::function<void()>& half_way) {
    for (int i = 0; i < kTextsEach; ++i) {
      if (i == kTextsEach / 2) half_way();
      SubmitOne(index_ * kTextsEach + i);
      clock_.Advance(absl::Milliseconds(1));
      if (random_() % 8 == 0) CancelOne();
      if (random_() % 64 == 0) std::this_thread::yield();
    }
  }
  int64_t refused() const { return refused_; }

 private:
  void SubmitOne(int64_t number) {
    static constexpr int64_t kLengths[] = {3, 20, 60, 300, 600};
    TaskParams params{.number = number,
                      .lengths = {kLengths[random_() % 5]},
                      .client = std::to_string(index_ % 3)};
    while (random_() % 4 == 0) params.lengths.push_back(kLengths[random_() % 3]);
    if (random_() % 3 == 0) params.timeout = absl::Milliseconds(1 + random_() % 2000);
    params.cancel = std::make_shared<CancelFlag>();
    int64_t tokens = 0;
    for (const int64_t length : params.lengths) tokens += length;
    auto permit = admission_.TryAcquire({.bytes = 4 * tokens, .tokens = tokens},
                                        clock_.FromTimeout(params.timeout));
    if (!permit.ok()) {
      ++refused_;
      return;
    }
    params.permit = *std::move(permit);
    flags_.push_back(params.cancel);
    scheduler_.Submit(MakeTask(std::move(params), clock_, outcomes_));
  }
  void CancelOne() {
    if (flags_.empty()) return;
    flags_[flags_.size() - 1 - random_() % std::min<size_t>(flags_.size(), 20)]->Cancel();
    scheduler_.NotifyCancelled();
  }

  const int index_;
  FakeClock& clock_;
  Admission& admission_;
  BatchScheduler& scheduler_;
  Outcomes& outcomes_;
  std::minstd_rand random_;
  std::vector<std::shared_ptr<CancelFlag>> flags_;
  int64_t refused_ = 0;
};

// The parameter says whether teams follow the load.
class EngineStressTest : public ::testing::TestWithParam<bool> {
 protected:
  static constexpr LaneOptions kLanes = {.short_up_to = 50, .long_up_to = 500};

  // Runs all producers and returns how many texts admission refused. `half_way` is called by one of
  // them before its second half, `end` once all are done, with the engine still running.
  int64_t RunProducers(const std::function<void()>& half_way, const std::function<void()>& end) {
    QueueReaper reaper(&scheduler_);
    std::vector<std::unique_ptr<EncoderWorker>> workers;
    for (int i = 0; i < kWorkers; ++i) {
      workers.push_back(
          std::make_unique<EncoderWorker>(FakeEncoder(i + 1), &scheduler_, nullptr, &clock_));
    }
    std::vector<Producer> producers;
    for (int i = 0; i < kProducers; ++i)
      producers.emplace_back(i, clock_, admission_, scheduler_, outcomes_);
    std::vector<std::thread> threads;
    for (Producer& producer : producers) {
      threads.emplace_back(
          [&] { producer.Run(&producer == &producers.front() ? half_way : [] {}); });
    }
    for (std::thread& thread : threads) thread.join();
    end();
    workers.clear();
    scheduler_.Shutdown();
    int64_t refused = 0;
    for (const Producer& producer : producers) refused += producer.refused();
    return refused;
  }

  // Every admitted text has one outcome: its own vector, or an error of an allowed code.
  void CheckOutcomes(int64_t refused, bool may_be_unavailable) const {
    int64_t answered = 0, ok = 0;
    for (int64_t number = 0; number < kProducers * kTextsEach; ++number) {
      const size_t count = outcomes_.count(number);
      ASSERT_LE(count, 1u) << "answered twice: " << number;
      if (count == 0) continue;
      ++answered;
      const Outcome outcome = outcomes_.only(number);
      if (outcome.result.ok()) {
        ++ok;
        ASSERT_EQ(outcome.result->vector.at(0), static_cast<float>(number));
        continue;
      }
      const absl::Status& status = outcome.result.status();
      const bool allowed = absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) ||
                           (absl::IsInternal(status) &&
                            status.message().find("device error") != absl::string_view::npos) ||
                           (may_be_unavailable && absl::IsUnavailable(status));
      ASSERT_TRUE(allowed) << status;
    }
    EXPECT_EQ(answered + refused, kProducers * kTextsEach) << "lost";
    EXPECT_GT(ok, may_be_unavailable ? 0 : kProducers * kTextsEach / 4);  // most have no deadline
    EXPECT_EQ(admission_.backlog().tasks, 0);
    EXPECT_EQ(admission_.backlog().tokens, 0);
    EXPECT_EQ(scheduler_.depth().computing_threads, 0);
  }

  FakeClock clock_;
  Outcomes outcomes_;
  Admission admission_{{.max_queue_tokens = 1 << 23,
                        .max_queue_wait = absl::Hours(1),
                        .num_replicas = kWorkers,
                        .lanes = kLanes},
                       MillisecondPerToken,
                       &clock_};
  BatchScheduler scheduler_{
      {.max_batch_tokens = 1000,
       .lanes = kLanes,
       .cores = {.workers = kWorkers, .threads = 2, .follow_load = GetParam()}},
      LinearCost(),
      &clock_};
};

TEST_P(EngineStressTest, NothingIsLostOrDoubled_AndADrainFinishesWhatWasAccepted) {
  const int64_t refused = RunProducers([] {},
                                       [&] {
                                         admission_.StopAdmitting();
                                         scheduler_.Drain();
                                         EXPECT_TRUE(admission_.AwaitIdle(absl::InfiniteFuture()));
                                       });
  CheckOutcomes(refused, false);
}

TEST_P(EngineStressTest, NothingIsLostOrDoubled_WhenShutDownInTheMiddle) {
  const int64_t refused = RunProducers([&] { scheduler_.Shutdown(); }, [] {});
  CheckOutcomes(refused, true);
}

INSTANTIATE_TEST_SUITE_P(Teams, EngineStressTest, ::testing::Bool(), [](const auto& follow) {
  return follow.param ? "FollowTheLoad" : "Fixed";
});

}  // namespace
}  // namespace longspan
