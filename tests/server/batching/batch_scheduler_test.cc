#include "server/batching/batch_scheduler.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

using ::testing::Contains;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr int64_t kSharedTokens = BatchSchedulerOptions().shared_tokens;

class BatchSchedulerTest : public ::testing::Test {
 protected:
  void Start(BatchSchedulerOptions options = {}) {
    scheduler_.emplace(options, LinearCost(), &clock_);
  }
  void Submit(TaskParams params) {
    scheduler_->Submit(MakeTask(std::move(params), clock_, outcomes_));
  }
  std::vector<int64_t> Next() {
    const auto batch = scheduler_->NextBatch();
    if (!batch.has_value()) return {-1};
    Answer(*batch, clock_);
    return Numbers(*batch);
  }

  FakeClock clock_;
  Outcomes outcomes_;
  std::optional<BatchScheduler> scheduler_;
};

TEST_F(BatchSchedulerTest, NextBatch_StartsALoneTextAtOnce) {
  Start();
  Submit({.number = 1});
  EXPECT_THAT(Next(), ElementsAre(1));
  EXPECT_EQ(outcomes_.only(1).timings.queue, absl::ZeroDuration());
}

TEST_F(BatchSchedulerTest, NextBatch_ClosesByTokens) {
  Start({.max_batch_tokens = 100, .max_batch_seconds = 10});
  for (int number = 1; number <= 5; ++number) Submit({.number = number, .lengths = {40}});
  EXPECT_THAT(Next(), ElementsAre(1, 2));
  EXPECT_THAT(Next(), ElementsAre(3, 4));
  EXPECT_THAT(Next(), ElementsAre(5));
}

TEST_F(BatchSchedulerTest, NextBatch_ClosesByPredictedSeconds) {
  Start({.max_batch_tokens = 1 << 20, .max_batch_seconds = 0.1});
  for (int number = 1; number <= 3; ++number) Submit({.number = number, .lengths = {50}});
  EXPECT_THAT(Next(), ElementsAre(1, 2));
  EXPECT_THAT(Next(), ElementsAre(3));
}

TEST_F(BatchSchedulerTest, NextBatch_CountsTheTokenBudgetAsTextsOf512_ByTheCostModelOfTheMoment) {
  // Dense attention, cost n^2; calibrated after the scheduler was made.
  double seconds_per_square = 1;
  scheduler_.emplace(
      BatchSchedulerOptions{.max_batch_tokens = 2048, .lanes = {.short_up_to = 4096}},
      BatchCost{.text_seconds =
                    [&](const TextShape& n) {
                      return seconds_per_square * static_cast<double>(n.tokens * n.tokens);
                    },
                .batch_seconds = [](std::span<const TextShape>) { return 0.0; }},
      &clock_);
  seconds_per_square = 1e-6;  // budget: 4 texts of 512 = one of 1024
  Submit({.number = 1, .lengths = {1024}});
  for (int number = 2; number <= 6; ++number) Submit({.number = number, .lengths = {512}});
  EXPECT_THAT(Next(), ElementsAre(1));
  EXPECT_THAT(Next(), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(Next(), ElementsAre(6));
}

TEST_F(BatchSchedulerTest, NextBatch_PredictsTheWholeBatch) {
  Start();
  Submit({.number = 1, .lengths = {50}});
  Submit({.number = 2, .lengths = {70}});
  const auto batch = scheduler_->NextBatch();
  EXPECT_THAT(batch->predicted_seconds, DoubleNear(0.12, 1e-9));
  EXPECT_EQ(batch->tokens, 120);
  EXPECT_EQ(batch->padded_tokens, 120);  // nothing is wasted
  EXPECT_EQ(batch->lane, Lane::kShort);
}

TEST_F(BatchSchedulerTest, NextBatch_RunsATextAboveTheBudgetAlone) {
  Start({.max_batch_tokens = 100, .lanes = {.short_up_to = 1000}});
  Submit({.number = 1, .lengths = {500}});
  Submit({.number = 2, .lengths = {10}});
  EXPECT_THAT(Next(), ElementsAre(1));
  EXPECT_THAT(Next(), ElementsAre(2));
}

TEST_F(BatchSchedulerTest, NextBatch_NeverMixesLanes) {
  Start({.lanes = {.short_up_to = 10, .long_up_to = 20}});
  for (const int64_t length : {5, 15, 25, 6, 16, 26})
    Submit({.number = length, .lengths = {length}});
  std::vector<std::vector<int64_t>> batches = {Next(), Next(), Next()};
  EXPECT_THAT(batches,
              UnorderedElementsAre(ElementsAre(5, 6), ElementsAre(15, 16), ElementsAre(25, 26)));
}

TEST_F(BatchSchedulerTest, NextBatch_ReturnsPartialBatch_WhenOldestIsDue) {
  Start({.batch_timeout = absl::Milliseconds(5)});
  Submit({.number = 1});
  clock_.Advance(absl::Milliseconds(3));
  Submit({.number = 2});
  std::vector<int64_t> batch;
  std::thread worker([&] { batch = Next(); });
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Milliseconds(1));
  clock_.AwaitWaiters(1);
  EXPECT_EQ(scheduler_->depth().pieces, 2);
  clock_.Advance(absl::Milliseconds(1));
  worker.join();
  EXPECT_THAT(batch, ElementsAre(1, 2));
}

TEST_F(BatchSchedulerTest, NextBatch_DoesNotWaitForCompany_WhenTheBudgetIsFull) {
  Start({.max_batch_tokens = 100, .batch_timeout = absl::Hours(1)});
  Submit({.number = 1, .lengths = {60}});
  Submit({.number = 2, .lengths = {40}});
  EXPECT_THAT(Next(), ElementsAre(1, 2));
}

TEST_F(BatchSchedulerTest, NextBatch_LeavesIdleWorkersTheirPart) {
  Start();
  std::vector<std::vector<int64_t>> batches(2);
  absl::Mutex mu;
  std::thread first([&] {
    const auto batch = Next();
    absl::MutexLock lock(&mu);
    batches[0] = batch;
  });
  std::thread second([&] {
    const auto batch = Next();
    absl::MutexLock lock(&mu);
    batches[1] = batch;
  });
  clock_.AwaitWaiters(2);
  auto task = MakeTask({.number = 1, .lengths = {10, 10, 10, 10}}, clock_, outcomes_);
  scheduler_->Submit(task);
  scheduler_->Drain();  // a worker that got nothing ends
  first.join();
  second.join();
  EXPECT_EQ(batches[0].size(), 2u);
  EXPECT_EQ(batches[1].size(), 2u);
}

TEST_F(BatchSchedulerTest, NextBatch_HoldsOnePaddedLength_WhereTheModelPads) {
  Start({.length_multiple = 64});
  for (const int64_t length : {10, 70, 64, 128, 3}) Submit({.number = length, .lengths = {length}});
  const auto first = scheduler_->NextBatch(), second = scheduler_->NextBatch();
  EXPECT_THAT(Numbers(*first), ElementsAre(10, 64, 3));
  EXPECT_EQ(first->padded_tokens, 192);
  EXPECT_THAT(Numbers(*second), ElementsAre(70, 128));
  EXPECT_EQ(second->padded_tokens, 256);
}

TEST_F(BatchSchedulerTest, NextBatch_AlternatesClients_BesideOneThatFloods) {
  Start({.max_batch_tokens = 40});
  for (int number = 1; number <= 20; ++number) Submit({.number = number, .client = "flood"});
  for (int number = 101; number <= 104; ++number) Submit({.number = number, .client = "modest"});
  int modest = 0;
  for (int batch = 0; batch < 2; ++batch) {
    for (const int64_t number : Next()) modest += number > 100;
  }
  EXPECT_EQ(modest, 4);
}

TEST_F(BatchSchedulerTest, NextBatch_CompletesExpiredAndCancelledTexts_BeforeTheyCost) {
  Start();
  auto cancel = std::make_shared<CancelFlag>();
  Submit({.number = 1, .timeout = absl::Seconds(1)});
  Submit({.number = 2, .cancel = cancel});
  Submit({.number = 3});
  cancel->Cancel();
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Next(), ElementsAre(3));
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kCancelled);
  EXPECT_EQ(outcomes_.only(1).timings.stage, Stage::kQueue);
}

TEST_F(BatchSchedulerTest, NextBatch_GoesOnWaiting_WhenOnlyAbandonedTextsCame) {
  Start();
  Submit({.number = 1, .timeout = absl::Seconds(1)});
  clock_.Advance(absl::Seconds(2));
  std::vector<int64_t> batch;
  std::thread worker([&] { batch = Next(); });
  clock_.AwaitWaiters(1);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kDeadlineExceeded);
  Submit({.number = 2});
  worker.join();
  EXPECT_THAT(batch, ElementsAre(2));
}

TEST_F(BatchSchedulerTest, NextBatch_DropsTheOtherPieces_OfATextThatFailed) {
  Start({.max_batch_tokens = 10});
  Submit({.number = 1, .lengths = {10, 10, 10}});
  const auto first = scheduler_->NextBatch();
  first->pieces[0].task->Complete(absl::InternalError("NaN"));
  Submit({.number = 2});
  EXPECT_THAT(Next(), ElementsAre(2));
}

TEST_F(BatchSchedulerTest, Submit_AnswersATextWithoutPieces) {
  Start();
  Submit({.number = 1, .lengths = {}});
  EXPECT_TRUE(outcomes_.only(1).result.ok());
}

TEST_F(BatchSchedulerTest, Reap_AnswersExpiredTexts_WhileAllWorkersAreBusy) {
  Start();
  std::thread reaper([&] {
    while (scheduler_->Reap()) {
    }
  });
  Submit({.number = 1, .timeout = absl::Seconds(5)});
  Submit({.number = 2, .timeout = absl::Seconds(2)});
  Submit({.number = 3});
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(2));
  outcomes_.AwaitTotal(1);
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kDeadlineExceeded);
  clock_.Advance(absl::Seconds(3));
  outcomes_.AwaitTotal(2);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(scheduler_->depth().pieces, 1);
  scheduler_->Shutdown();
  reaper.join();
}

TEST_F(BatchSchedulerTest, Reap_AnswersCancelledTexts_WhenNotified) {
  Start();
  std::thread reaper([&] {
    while (scheduler_->Reap()) {
    }
  });
  auto cancel = std::make_shared<CancelFlag>();
  Submit({.number = 1, .cancel = cancel});
  cancel->Cancel();
  scheduler_->NotifyCancelled();
  outcomes_.AwaitTotal(1);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kCancelled);
  scheduler_->Shutdown();
  reaper.join();
}

TEST_F(BatchSchedulerTest, Drain_FinishesWhatWasAccepted_ThenEndsTheWorkers) {
  Start({.batch_timeout = absl::Hours(1)});
  Submit({.number = 1});
  scheduler_->Drain();
  Submit({.number = 2});
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Next(), ElementsAre(1));
  EXPECT_THAT(Next(), ElementsAre(-1));
}

TEST_F(BatchSchedulerTest, Drain_WakesAWaitingWorker) {
  Start();
  std::thread worker([&] { EXPECT_EQ(scheduler_->NextBatch(), std::nullopt); });
  clock_.AwaitWaiters(1);
  scheduler_->Drain();
  worker.join();
}

TEST_F(BatchSchedulerTest, Shutdown_AnswersTheQueue_AndWakesEverybody) {
  Start({.batch_timeout = absl::Hours(1)});
  Submit({.number = 1, .lengths = {10, 10}});
  Submit({.number = 2});
  std::thread worker([&] { EXPECT_EQ(scheduler_->NextBatch(), std::nullopt); });
  std::thread reaper([&] {
    while (scheduler_->Reap()) {
    }
  });
  clock_.AwaitWaiters(2);
  scheduler_->Shutdown();
  worker.join();
  reaper.join();
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kUnavailable);
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kUnavailable);
  EXPECT_EQ(outcomes_.total(), 2);
}

TEST_F(BatchSchedulerTest, TryNextBatchBefore_GivesShortTexts_ButNoneOfTheSameClientsLane) {
  Start({.lanes = {.short_up_to = 10, .long_up_to = 20}});
  Submit({.number = 25, .lengths = {25}});
  auto running = scheduler_->NextBatch();
  EXPECT_EQ(scheduler_->TryNextBatchBefore(Lane::kBulk, &running->others), std::nullopt);
  Submit({.number = 26, .lengths = {26}});
  Submit({.number = 5, .lengths = {5}});
  const auto between = scheduler_->TryNextBatchBefore(running->lane, &running->others);
  ASSERT_TRUE(between.has_value());
  EXPECT_THAT(Numbers(*between), ElementsAre(5));
  EXPECT_EQ(scheduler_->TryNextBatchBefore(running->lane, &running->others), std::nullopt);
}

// A pass over one client's backlog. Each of these tests begins it anew.
class SeamsOfABacklog : public BatchSchedulerTest {
 protected:
  static constexpr int64_t kPass = 4 * kSharedTokens;  // tokens
  void SetUp() override {
    Start({.max_batch_tokens = kPass, .max_batch_seconds = 1e9});
    for (int64_t i = 0; i < 2 * kPass / 256; ++i) Backlog();
    running_ = scheduler_->NextBatch();
    ASSERT_EQ(running_->tokens, kPass);
  }
  void Backlog() { Submit({.number = 1, .lengths = {256}, .client = "busy"}); }
  std::vector<int64_t> AtSeam() {
    const auto batch = scheduler_->TryNextBatchBefore(running_->lane, &running_->others);
    if (!batch.has_value()) return {};
    Answer(*batch, clock_);
    return Numbers(*batch);
  }
  std::optional<PackedBatch> running_;
};

TEST_F(SeamsOfABacklog, LetOtherClientsShortTextsRun_AndNoneOfItsOwn) {
  EXPECT_THAT(AtSeam(), ElementsAre());
  Submit({.number = 2, .client = "other"});
  Submit({.number = 3, .client = "third"});
  Backlog();
  EXPECT_THAT(AtSeam(), UnorderedElementsAre(2, 3));
  EXPECT_THAT(AtSeam(), ElementsAre());
  Submit({.number = 4, .client = "other"});  // it has had less than the pass
  EXPECT_THAT(AtSeam(), ElementsAre(4));
}

TEST_F(SeamsOfABacklog, LetNoLongTextRun_ButShortOnesBehindIt) {
  Start({.max_batch_tokens = 4 * kPass, .max_batch_seconds = 1e9, .lanes = {.short_up_to = kPass}});
  for (int i = 0; i < 2; ++i) Submit({.number = 1, .lengths = {kPass}, .client = "busy"});
  running_ = scheduler_->NextBatch();
  Submit({.number = 2, .lengths = {2 * kPass / 8 + 1}, .client = "long"});
  Submit({.number = 3, .lengths = {2 * kPass / 8}, .client = "shorter"});
  EXPECT_THAT(AtSeam(), ElementsAre(3));
  EXPECT_THAT(AtSeam(), ElementsAre());
}

// Behind a proxy all callers have one address. The calls of the pass are a quarter of it each.
TEST_F(SeamsOfABacklog, LetMuchSmallerCallsOfTheSameClientRun) {
  Start({.max_batch_tokens = kPass, .max_batch_seconds = 1e9});
  const double quarter = kPass / 4 * 1e-3;
  for (int64_t i = 0; i < 2 * kPass / 256; ++i)
    Submit({.number = 1, .lengths = {256}, .client = "busy", .call_size = {.seconds = quarter}});
  running_ = scheduler_->NextBatch();
  EXPECT_THAT(AtSeam(), ElementsAre());
  Submit({.number = 2, .client = "busy", .call_size = {.seconds = quarter / 7}});
  EXPECT_THAT(AtSeam(), ElementsAre());
  Submit({.number = 3, .client = "busy", .call_size = {.seconds = quarter / 9}});
  EXPECT_THAT(AtSeam(), ElementsAre(3)) << "it goes before those that came earlier, too";
  Submit({.number = 4, .client = "busy", .call_size = {.seconds = quarter / 9}});
  running_->others.seconds_left = 0;
  EXPECT_THAT(AtSeam(), ElementsAre());
}

TEST_F(BatchSchedulerTest, NextBatch_OfASmallCall_HoldsLittleOfLargeOnes) {
  Start({.max_batch_tokens = 1 << 20, .max_batch_seconds = 1e9});
  for (int i = 0; i < 20; ++i)
    Submit({.number = 1, .lengths = {64}, .client = "busy", .call_size = {.seconds = 1.28}});
  Submit({.number = 2, .lengths = {32}, .client = "busy", .call_size = {.seconds = 0.032}});
  const auto batch = scheduler_->NextBatch();
  EXPECT_EQ(Numbers(*batch).front(), 2);
  EXPECT_EQ(batch->tokens, 32 + 3 * 64);
  EXPECT_EQ(scheduler_->NextBatch()->tokens, 17 * 64);
}

// Many clients that each have a right to as much as the pass do not hold it up for longer than it
// takes itself.
TEST_F(SeamsOfABacklog, AtMostDoubleThePass) {
  for (int64_t i = 0; i < 3 * kPass / 256; ++i)
    Submit({.number = 2, .lengths = {256}, .client = std::to_string(i)});
  size_t texts = 0;
  while (true) {
    const size_t batch = AtSeam().size();
    if (batch == 0) break;
    EXPECT_LE(batch * 256, static_cast<size_t>(kSharedTokens));
    texts += batch;
  }
  EXPECT_EQ(texts * 256, static_cast<size_t>(kPass));
}

TEST_F(SeamsOfABacklog, AClientThatHasHadAsMuchAsThePassWaitsItsTurn) {
  for (int64_t i = 0; i < 2 * kPass / 256; ++i)
    Submit({.number = 2, .lengths = {256}, .client = "second"});
  running_->others.seconds_left = 1e9;  // so that only the shares of the clients count
  size_t texts = 0;
  while (const size_t batch = AtSeam().size()) texts += batch;
  EXPECT_EQ(texts * 256, static_cast<size_t>(kPass));
}

TEST_F(SeamsOfABacklog, AbandonedTextsAreAnswered_AndTheNextOneRuns) {
  const auto cancel = std::make_shared<CancelFlag>();
  Submit({.number = 2, .client = "other", .cancel = cancel});
  Submit({.number = 3, .client = "other"});
  cancel->Cancel();
  EXPECT_THAT(AtSeam(), ElementsAre(3));
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kCancelled);
}

// A client that has used up the share of the short lane has not used up that of the others.
TEST_F(BatchSchedulerTest, SeamsOfALongText_LetShortTextsRun_OfClientsThatUsedLessOfTheirLane) {
  Start({.max_batch_tokens = 256,
         .max_batch_seconds = 1e9,
         .lanes = {.short_up_to = 256, .weights = {1, 1, 1}, .ageing = 0}});
  Submit({.number = 1, .lengths = {4096}, .client = "busy"});
  auto running = scheduler_->NextBatch();
  for (int i = 0; i < 100; ++i) Submit({.number = 2, .lengths = {256}, .client = "busy"});
  const auto at_seam = [&] {
    const auto batch = scheduler_->TryNextBatchBefore(running->lane, &running->others);
    if (batch.has_value()) Answer(*batch, clock_);
    return batch.has_value() ? Numbers(*batch) : std::vector<int64_t>();
  };
  int texts = 0;
  for (std::vector<int64_t> batch; !(batch = at_seam()).empty(); texts += 1)
    EXPECT_THAT(batch, ElementsAre(2));
  EXPECT_NEAR(texts, 4096 / 256, 1) << "as much as the long text";
  Submit({.number = 3, .lengths = {8}, .client = "modest"});
  EXPECT_THAT(at_seam(), ElementsAre(3));
  EXPECT_THAT(at_seam(), ElementsAre());
}

// So that no text of another client waits for long; and such a pass is not interrupted either.
TEST_F(BatchSchedulerTest, NextBatch_StaysSmall_WhereSeveralClientsWait) {
  Start({.max_batch_tokens = 1 << 20, .max_batch_seconds = 1e9});
  Submit({.number = 1, .lengths = {256}, .client = "modest"});
  for (int i = 0; i < 100; ++i) Submit({.number = 2, .lengths = {256}, .client = "busy"});
  auto shared = scheduler_->NextBatch();
  EXPECT_EQ(shared->tokens, kSharedTokens);
  EXPECT_THAT(Numbers(*shared), Contains(1));
  Submit({.number = 3, .lengths = {1}, .client = "modest"});
  EXPECT_EQ(scheduler_->TryNextBatchBefore(shared->lane, &shared->others), std::nullopt);
  const auto next = scheduler_->NextBatch();
  EXPECT_EQ(next->pieces.front().task->client(), "modest");
  EXPECT_LE(next->tokens, kSharedTokens);
  const int64_t left = scheduler_->depth().tokens;
  EXPECT_EQ(scheduler_->NextBatch()->tokens, left) << "alone again: the whole backlog";
}

// A card wants more tokens in a batch than a processor does.
TEST_F(BatchSchedulerTest, NextBatch_IsAsLargeAsItsOptionsSay_WhereSeveralClientsWait) {
  Start({.max_batch_tokens = 1 << 20, .max_batch_seconds = 1e9, .shared_tokens = 2048});
  for (int i = 0; i < 100; ++i) Submit({.number = 2, .lengths = {256}, .client = "busy"});
  Submit({.number = 1, .lengths = {256}, .client = "modest"});
  EXPECT_EQ(scheduler_->NextBatch()->tokens, 2048);
}

constexpr CoreOptions kTwoCores = {.workers = 2, .threads = 1, .follow_load = true};

TEST_F(BatchSchedulerTest, NextBatch_IsHalfAsLarge_WhereSeveralClientsWait_WithHalfTheCores) {
  Start({.max_batch_tokens = 1 << 20, .max_batch_seconds = 1e9, .cores = kTwoCores});
  Submit({.number = 9, .client = "first"});
  const auto lone = scheduler_->NextBatch();
  for (int i = 0; i < 100; ++i) Submit({.number = 2, .lengths = {256}, .client = "busy"});
  Submit({.number = 1, .lengths = {256}, .client = "modest"});
  scheduler_->EndPass(1);
  EXPECT_EQ(scheduler_->NextBatch()->tokens, kSharedTokens / 2);
}

TEST_F(BatchSchedulerTest, TeamsFollowTheLoad_ALoneTextHasAllCores_AndTheNextOneWaitsForThem) {
  Start({.cores = kTwoCores});
  Submit({.number = 1});
  const auto lone = scheduler_->NextBatch();
  EXPECT_EQ(lone->threads, 2);
  EXPECT_EQ(scheduler_->depth().computing_threads, 2);
  Submit({.number = 2});
  std::optional<PackedBatch> next;
  std::thread worker([&] { next = scheduler_->NextBatch(); });
  clock_.AwaitWaiters(1);
  Answer(*lone, clock_);
  EXPECT_EQ(outcomes_.count(2), 0u);
  scheduler_->EndPass(lone->threads);
  worker.join();
  EXPECT_THAT(Numbers(*next), ElementsAre(2));
  EXPECT_EQ(next->threads, 2);
  Answer(*next, clock_);
}

TEST_F(BatchSchedulerTest, TeamsFollowTheLoad_PassesOfABacklogShareCoresAndBudget) {
  Start({.max_batch_tokens = 100, .max_batch_seconds = 10, .cores = kTwoCores});
  std::optional<PackedBatch> batches[2];
  std::thread first([&] { batches[0] = scheduler_->NextBatch(); });
  std::thread second([&] { batches[1] = scheduler_->NextBatch(); });
  clock_.AwaitWaiters(2);
  Submit({.number = 1, .lengths = std::vector<int64_t>(9, 20)});  // pieces come together
  first.join();
  second.join();
  for (const auto& batch : batches) {
    EXPECT_EQ(batch->threads, 1);
    EXPECT_EQ(batch->tokens, 40) << "of a budget of 100 / 2";
    EXPECT_THAT(batch->predicted_seconds, DoubleNear(2 * 0.04, 1e-9)) << "with half of the cores";
  }
}

// A text above a narrow pass's part of the budget runs with all cores, when all are free; shorter
// texts do not pass it by for ever.
TEST_F(BatchSchedulerTest, TeamsFollowTheLoad_ALargeTextRunsWithAllCores_Alone) {
  Start({.max_batch_tokens = 100, .cores = kTwoCores});
  std::optional<PackedBatch> narrow[2];
  std::thread first([&] { narrow[0] = scheduler_->NextBatch(); });
  std::thread second([&] { narrow[1] = scheduler_->NextBatch(); });
  clock_.AwaitWaiters(2);
  Submit({.number = 1, .lengths = {30, 30}});
  first.join();
  second.join();
  scheduler_->EndPass(narrow[0]->threads);
  Submit({.number = 2, .lengths = {80}});
  Submit({.number = 3, .lengths = {10}});
  std::optional<PackedBatch> large;
  std::thread worker([&] { large = scheduler_->NextBatch(); });
  clock_.AwaitWaiters(1);
  scheduler_->EndPass(narrow[1]->threads);
  worker.join();
  EXPECT_THAT(Numbers(*large), ElementsAre(2, 3));
  EXPECT_EQ(large->threads, 2);
}

TEST_F(BatchSchedulerTest, TeamsFollowTheLoad_APassThatIsLeftAloneGrows) {
  Start({.max_batch_tokens = 100, .cores = kTwoCores});
  std::optional<PackedBatch> batches[2];
  std::thread first([&] { batches[0] = scheduler_->NextBatch(); });
  std::thread second([&] { batches[1] = scheduler_->NextBatch(); });
  clock_.AwaitWaiters(2);
  Submit({.number = 1, .lengths = {20, 20}});
  first.join();
  second.join();
  scheduler_->EndPass(batches[0]->threads);
  EXPECT_EQ(scheduler_->ThreadsAtSeam(1), 1);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(scheduler_->ThreadsAtSeam(1), 2);
}

TEST_F(BatchSchedulerTest, Depth_CountsPiecesTokensSecondsAndAge) {
  Start();
  Submit({.number = 1, .lengths = {30}});
  clock_.Advance(absl::Seconds(4));
  Submit({.number = 2, .lengths = {1000}});
  const BatchScheduler::Depth depth = scheduler_->depth();
  EXPECT_EQ(depth.pieces, 2);
  EXPECT_EQ(depth.tokens, 1030);
  EXPECT_THAT(depth.predicted_seconds, DoubleNear(1.03, 1e-9));
  EXPECT_EQ(depth.oldest, absl::Seconds(4));
  EXPECT_THAT(depth.lane_pieces, ElementsAre(1, 1, 0));
  Next();
  Next();
  EXPECT_EQ(scheduler_->depth().oldest, absl::ZeroDuration());
}

// However many short texts keep coming, a bulk text starts within bounded work.
TEST_F(BatchSchedulerTest, NextBatch_StarvesNoLane) {
  Start({.max_batch_tokens = 100, .lanes = {.short_up_to = 50, .long_up_to = 500}});
  for (int number = 1; number <= 10; ++number) Submit({.number = number, .lengths = {10}});
  Submit({.number = 900, .lengths = {1000}});
  Submit({.number = 901, .lengths = {1000}});
  int64_t short_tokens = 0, next_number = 1000;
  for (int bulk_seen = 0; bulk_seen < 2;) {
    ASSERT_LT(short_tokens, 20'000) << "8 times the first bulk text's 1000 tokens, and some";
    const auto batch = scheduler_->NextBatch();
    if (batch->lane == Lane::kBulk) ++bulk_seen;
    if (batch->lane == Lane::kShort) short_tokens += batch->tokens;
    clock_.Advance(absl::Milliseconds(batch->tokens));
    Answer(*batch, clock_);
    for (int i = 0; i < 10; ++i) Submit({.number = next_number++, .lengths = {10}});
  }
}

}  // namespace
}  // namespace longspan
