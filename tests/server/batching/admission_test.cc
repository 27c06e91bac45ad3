#include "server/batching/admission.h"

#include <gmock/gmock.h>

#include <thread>

#include "core/error_details.h"
#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::Not;

class AdmissionTest : public ::testing::Test {
 protected:
  Admission Make(AdmissionOptions options = {}) {
    return Admission(options, MillisecondPerToken, &clock_);
  }
  absl::Time In(double seconds) const { return clock_.FromTimeout(absl::Seconds(seconds)); }
  // The wait that is predicted for a text that came now, behind others: a deadline just above wait
  // and computing time is taken, one just below is refused.
  void ExpectWait(Admission& admission, int64_t tokens, double seconds) {
    const double total = seconds + MillisecondPerToken(tokens);
    EXPECT_TRUE(admission.TryAcquire({.tokens = tokens}, In(total + 1e-6)).ok()) << tokens;
    const absl::Status late = admission.TryAcquire({.tokens = tokens}, In(total - 1e-6)).status();
    EXPECT_EQ(ReasonOf(late), kReasonDeadlineUnreachable) << tokens;
  }
  static double RetrySeconds(const absl::Status& status) {
    return absl::ToDoubleSeconds(RetryAfterOf(status).value_or(absl::Seconds(-1)));
  }

  FakeClock clock_;
  const absl::Time never_ = absl::InfiniteFuture();
};

TEST_F(AdmissionTest, TryAcquire_ChecksBytesBeforeTokensBeforeWait) {
  Admission admission = Make(
      {.max_queue_bytes = 100, .max_queue_tokens = 50, .max_queue_wait = absl::Milliseconds(20)});
  const auto first = admission.TryAcquire({.bytes = 40, .tokens = 30}, never_);
  ASSERT_TRUE(first.ok());
  const absl::Status bytes = admission.TryAcquire({.bytes = 61, .tokens = 60}, never_).status();
  EXPECT_EQ(bytes.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(bytes.message()), HasSubstr("61 more pass its limit of 100"));
  const absl::Status tokens = admission.TryAcquire({.bytes = 10, .tokens = 21}, never_).status();
  EXPECT_THAT(std::string(tokens.message()), HasSubstr("about 21 more pass its limit of 50"));
  const absl::Status wait = admission.TryAcquire({.bytes = 10, .tokens = 20}, never_).status();
  EXPECT_THAT(std::string(wait.message()), HasSubstr("predicted wait is 30ms; the limit is 20ms"));
}

TEST_F(AdmissionTest, TryAcquire_TakesAnyText_WhenIdle) {
  Admission admission =
      Make({.max_queue_bytes = 1, .max_queue_tokens = 1, .max_queue_wait = absl::ZeroDuration()});
  const auto first = admission.TryAcquire({.bytes = 4000, .tokens = 1000}, never_);
  EXPECT_TRUE(first.ok());
  EXPECT_FALSE(admission.TryAcquire({.bytes = 1, .tokens = 1}, never_).ok());
}

TEST_F(AdmissionTest, TryAcquire_NamesTheTimeAfterWhichThereIsRoom) {
  Admission admission = Make({.max_queue_tokens = 10000});
  const auto held = admission.TryAcquire({.bytes = 1, .tokens = 10000}, never_);  // 10 s of work
  const absl::Status refused = admission.TryAcquire({.bytes = 1, .tokens = 2500}, never_).status();
  EXPECT_THAT(RetrySeconds(refused), DoubleNear(2.5, 0.01));
}

TEST_F(AdmissionTest, TryAcquire_DividesTheBacklogByTheReplicas) {
  Admission admission = Make({.max_queue_wait = absl::Seconds(1), .num_replicas = 2});
  const auto held = admission.TryAcquire({.tokens = 400}, never_);
  const auto more = admission.TryAcquire({.tokens = 400}, never_);
  ExpectWait(admission, 100, 0.4);
}

TEST_F(AdmissionTest, TryAcquire_DoesNotHoldTheBulkAgainstAShortTextBehindIt) {
  Admission admission = Make({.lanes = {.weights = {8, 3, 1}}});
  const auto bulk = admission.TryAcquire({.tokens = 60'000}, never_);
  const auto first = admission.TryAcquire({.tokens = 400}, never_);
  ExpectWait(admission, 100, 0.4 + 0.5 / 8);  // header's example
  ExpectWait(admission, 60'000, 60.4);
}

TEST_F(AdmissionTest, TheBacklogOfOneClient_DoesNotKeepAnotherOut) {
  Admission admission = Make({.max_queue_wait = absl::Seconds(5)});
  std::vector<AdmissionPermit> held;
  for (int i = 0; i < 100; ++i)  // 5 s of work in the lane of short texts
    held.push_back(*admission.TryAcquire({.tokens = 50}, never_, "many"));
  // Its turn comes behind one piece as long as its own.
  EXPECT_TRUE(admission.TryAcquire({.tokens = 20}, In(0.0401), "one").ok());
  EXPECT_EQ(ReasonOf(admission.TryAcquire({.tokens = 20}, In(0.0399), "one").status()),
            kReasonDeadlineUnreachable);
  EXPECT_EQ(ReasonOf(admission.TryAcquire({.tokens = 20}, In(1), "many").status()),
            kReasonDeadlineUnreachable);
}

TEST_F(AdmissionTest, TheWaitOfAClient_IsItsOwnWorkAndAsMuchOfEachOther) {
  Admission admission = Make();
  const auto a = admission.TryAcquire({.tokens = 300}, never_, "a");
  const auto b = admission.TryAcquire({.tokens = 40}, never_, "b");
  const auto own = admission.TryAcquire({.tokens = 100}, never_, "c");
  // 100 ms of its own, min(300, 150) of a, all 40 of b, and then its 50.
  EXPECT_TRUE(admission.TryAcquire({.tokens = 50}, In(0.3401), "c").ok());
  EXPECT_FALSE(admission.TryAcquire({.tokens = 50}, In(0.3399), "c").ok());
}

TEST_F(AdmissionTest, AFullQueue_HasRoomForAClientThatHoldsLittle) {
  Admission admission = Make({.max_queue_bytes = 16000, .max_queue_tokens = 1600});
  const auto held = admission.TryAcquire({.bytes = 16000, .tokens = 1600}, never_, "many");
  ASSERT_TRUE(held.ok());
  EXPECT_FALSE(admission.TryAcquire({.bytes = 1, .tokens = 1}, never_, "many").ok());
  EXPECT_FALSE(admission.TryAcquire({.bytes = 1, .tokens = 101}, never_, "one").ok());
  EXPECT_FALSE(admission.TryAcquire({.bytes = 1001, .tokens = 1}, never_, "one").ok());
  std::vector<AdmissionPermit> small;
  for (const char* client : {"a", "b", "c", "d"}) {
    auto permit = admission.TryAcquire({.bytes = 1000, .tokens = 100}, never_, client);
    ASSERT_TRUE(permit.ok()) << client;
    small.push_back(*std::move(permit));
    EXPECT_FALSE(admission.TryAcquire({.bytes = 1, .tokens = 1}, never_, client).ok()) << client;
  }
  EXPECT_FALSE(admission.TryAcquire({.bytes = 1, .tokens = 1}, never_, "e").ok());
}

TEST_F(AdmissionTest, Resize_CountsForItsClient) {
  Admission admission = Make({.max_queue_tokens = 1600});
  auto held = admission.TryAcquire({.bytes = 1, .tokens = 1600}, never_, "many");
  auto own = admission.TryAcquire({.bytes = 1, .tokens = 50}, never_, "one");
  ASSERT_TRUE(own.ok());
  const TextShape larger(101);
  EXPECT_FALSE(admission.Resize(*own, std::span(&larger, 1), 0, never_).ok());
  const TextShape fits(100);
  EXPECT_TRUE(admission.Resize(*own, std::span(&fits, 1), 0, never_).ok());
  EXPECT_EQ(admission.backlog().tokens, 1700);
  own->Release();
  held->Release();
  EXPECT_EQ(admission.backlog().tasks, 0);
  EXPECT_EQ(admission.backlog().seconds(), 0);
}

TEST_F(AdmissionTest, TryAcquire_RefusesAnUnreachableDeadline_BeforeAnyWork) {
  Admission admission = Make();
  const auto held = admission.TryAcquire({.tokens = 500}, never_);
  EXPECT_TRUE(admission.TryAcquire({.tokens = 100}, In(0.601)).ok());
  const absl::Status late = admission.TryAcquire({.tokens = 100}, In(0.4)).status();
  EXPECT_EQ(late.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(late), kReasonDeadlineUnreachable);
  EXPECT_THAT(RetrySeconds(late), DoubleNear(0.2, 0.01));
}

TEST_F(AdmissionTest, TryAcquire_NamesNoRetry_WhenTheTextAloneIsTooLongForItsDeadline) {
  Admission admission = Make();
  const absl::Status late = admission.TryAcquire({.tokens = 2001}, In(0.5)).status();
  EXPECT_EQ(ReasonOf(late), kReasonDeadlineUnreachable);
  EXPECT_EQ(RetryAfterOf(late), std::nullopt);
}

TEST_F(AdmissionTest, TryAcquire_GivesALoneTextFourTimesItsDeadline_BecausePredictionsErr) {
  Admission admission = Make();
  EXPECT_TRUE(admission.TryAcquire({.tokens = 2000}, In(0.501)).ok());
  EXPECT_FALSE(admission.TryAcquire({.tokens = 2000}, In(0.499)).ok());
  EXPECT_FALSE(admission.TryAcquire({.tokens = 1}, In(-0.001)).ok());
  const auto other = admission.TryAcquire({.tokens = 1}, never_);
  EXPECT_FALSE(admission.TryAcquire({.tokens = 2000}, In(1.9)).ok())
      << "behind another one a prediction counts as it is";
}

TEST_F(AdmissionTest, Resize_KeepsThePatienceOfALoneRequest_BesideItsOwnSiblings) {
  Admission admission = Make();
  const std::vector<AdmissionClaim> claims = {{.bytes = 3500}, {.bytes = 3500}};
  auto permits = admission.TryAcquire(claims, In(0.6));
  ASSERT_TRUE(permits.ok()) << permits.status();
  for (AdmissionPermit& permit : *permits)
    EXPECT_TRUE(admission.Resize(permit, std::vector<TextShape>{1000}, 1000, In(0.6)).ok());
}

// A request that finds the queue empty is let in; its texts then wait for one another.
TEST_F(AdmissionTest, WhereTheRequestsOwnSizeIsTheWait_ItSaysWhatHelps_AndNoTimeToTryAgain) {
  Admission admission = Make({.max_queue_wait = absl::Seconds(1)});
  const std::vector<AdmissionClaim> claims(4, {.tokens = 400});  // 1.6 s together
  auto permits = admission.TryAcquire(claims, never_);
  ASSERT_TRUE(permits.ok()) << permits.status();
  const absl::Status own =
      admission.Resize((*permits)[3], std::vector<TextShape>{TextShape(400)}, 400, never_);
  EXPECT_EQ(ReasonOf(own), kReasonMaxQueueSeconds);
  EXPECT_THAT(std::string(own.message()), HasSubstr("split it or use EncodeStream"));
  EXPECT_FALSE(RetryAfterOf(own).has_value());
  // Another request meets the same wait, and it is not its own.
  const absl::Status other = admission.TryAcquire({.tokens = 400}, never_).status();
  EXPECT_EQ(ReasonOf(other), kReasonMaxQueueSeconds);
  EXPECT_THAT(std::string(other.message()), Not(HasSubstr("split it")));
  EXPECT_TRUE(RetryAfterOf(other).has_value());
}

TEST_F(AdmissionTest, ARequestThatIsItselfTooLongForItsDeadline_SaysWhatHelps) {
  Admission admission = Make();
  const std::vector<AdmissionClaim> claims(4, {.tokens = 400});
  const absl::Status late = admission.TryAcquire(claims, In(0.3)).status();
  EXPECT_EQ(ReasonOf(late), kReasonDeadlineUnreachable);
  EXPECT_THAT(std::string(late.message()), HasSubstr("computing 1.6s would pass the deadline"));
  EXPECT_THAT(std::string(late.message()), HasSubstr("split it or use EncodeStream"));
  EXPECT_FALSE(RetryAfterOf(late).has_value());
}

TEST_F(AdmissionTest, ARequestThatIsLargerThanTheQueue_SaysWhatHelps) {
  Admission admission = Make({.max_queue_bytes = 1000, .max_queue_tokens = 100});
  const auto held = admission.TryAcquire({.bytes = 1, .tokens = 1}, never_);
  for (const AdmissionClaim& claim :
       {AdmissionClaim{.bytes = 1001, .tokens = 1}, AdmissionClaim{.bytes = 1, .tokens = 101}}) {
    const absl::Status own = admission.TryAcquire(claim, never_).status();
    EXPECT_THAT(std::string(own.message()), HasSubstr("split it or use EncodeStream")) << own;
  }
  const absl::Status fits = admission.TryAcquire({.bytes = 1000, .tokens = 1}, never_).status();
  EXPECT_THAT(std::string(fits.message()), Not(HasSubstr("split it"))) << fits;
}

TEST_F(AdmissionTest, TryAcquire_IsAllOrNothing) {
  Admission admission = Make({.max_queue_tokens = 100});
  const auto held = admission.TryAcquire({.tokens = 10}, never_);
  const std::vector<AdmissionClaim> claims = {{.tokens = 50}, {.tokens = 50}};
  EXPECT_FALSE(admission.TryAcquire(claims, never_).ok());
  EXPECT_EQ(admission.backlog().tokens, 10);
  EXPECT_EQ(admission.backlog().tasks, 1);
}

TEST_F(AdmissionTest, Permit_GivesBackOnceByDestruction) {
  Admission admission = Make();
  {
    AdmissionPermit permit = *admission.TryAcquire({.bytes = 70, .tokens = 100}, never_);
    AdmissionPermit moved = std::move(permit);
    EXPECT_FALSE(permit.held());
    EXPECT_EQ(admission.backlog().tokens, 100);
    moved = *admission.TryAcquire({.bytes = 7, .tokens = 10}, never_);
    EXPECT_EQ(admission.backlog().tokens, 10);
    EXPECT_EQ(admission.backlog().bytes, 7);
    moved.Release();
    EXPECT_EQ(admission.backlog().tasks, 0);
  }
  EXPECT_EQ(admission.backlog().tasks, 0);
  EXPECT_EQ(admission.backlog().seconds(), 0);
}

TEST_F(AdmissionTest, Claim_CountsNoMoreThanTruncationKeeps_AndWindowsAsTheirPieces) {
  Admission admission(
      AdmissionOptions{},
      [](const TextShape& n) { return static_cast<double>(n.tokens * n.tokens) * 1e-6; },
      &clock_);  // dense
  const auto cut = admission.TryAcquire({.bytes = 1 << 20, .max_tokens = 512}, never_);
  EXPECT_EQ(admission.backlog().tokens, 512);
  const double before = admission.backlog().seconds();
  const auto windows = admission.TryAcquire({.tokens = 5120, .piece_tokens = 512}, never_);
  EXPECT_THAT(admission.backlog().seconds() - before, DoubleNear(10 * 512 * 512 * 1e-6, 1e-9));
  EXPECT_EQ(admission.backlog().lane_seconds[static_cast<int>(Lane::kBulk)], 0);
}

TEST_F(AdmissionTest, Resize_ReplacesTheEstimate) {
  Admission admission = Make();
  AdmissionPermit permit = *admission.TryAcquire({.bytes = 35'000}, never_);
  EXPECT_NEAR(static_cast<double>(admission.backlog().tokens), 10'000, 10);
  EXPECT_TRUE(admission.Resize(permit, std::vector<TextShape>{300, 200}, 500, never_).ok());
  EXPECT_EQ(admission.backlog().tokens, 500);
  EXPECT_THAT(admission.backlog().lane_seconds[static_cast<int>(Lane::kShort)],
              DoubleNear(0.5, 1e-9));
  EXPECT_THAT(admission.backlog().lane_seconds[static_cast<int>(Lane::kBulk)], DoubleNear(0, 1e-9));
}

TEST_F(AdmissionTest, Resize_RefusesAndKeepsThePermit_WhenTheTextTurnsOutTooLong) {
  Admission admission = Make({.max_queue_tokens = 1000});
  const auto other = admission.TryAcquire({.tokens = 500}, never_);
  AdmissionPermit permit = *admission.TryAcquire({.bytes = 350}, never_);
  const int64_t estimate = admission.backlog().tokens - 500;
  const absl::Status refused = admission.Resize(permit, std::vector<TextShape>{501}, 501, never_);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(permit.held());
  EXPECT_EQ(admission.backlog().tokens, 500 + estimate);
  EXPECT_TRUE(admission.Resize(permit, std::vector<TextShape>{499}, 499, never_).ok());
}

TEST_F(AdmissionTest, Resize_ChecksTheDeadlineAgain) {
  Admission admission = Make();
  AdmissionPermit permit = *admission.TryAcquire({.bytes = 35, .max_tokens = 10}, In(0.05));
  const absl::Status refused = admission.Resize(permit, std::vector<TextShape>{201}, 201, In(0.05));
  EXPECT_EQ(ReasonOf(refused), kReasonDeadlineUnreachable);
}

TEST_F(AdmissionTest, TryAcquire_EstimatesTokensAsTheTokenizerTaughtIt) {
  Admission admission = Make();
  for (int i = 0; i < 500; ++i) {  // a language of two bytes a token
    AdmissionPermit permit = *admission.TryAcquire({.bytes = 2000}, never_);
    ASSERT_TRUE(admission.Resize(permit, std::vector<TextShape>{1000}, 1000, never_).ok());
  }
  const auto permit = admission.TryAcquire({.bytes = 2000}, never_);
  EXPECT_NEAR(static_cast<double>(admission.backlog().tokens), 1000, 10);
}

TEST_F(AdmissionTest, ReserveOutput_BoundsTokenVectors_AndNamesWhatNeverFits) {
  Admission admission = Make({.max_token_vector_bytes = 1000});
  OutputReservation held = *admission.ReserveOutput(700);
  const absl::Status full = admission.ReserveOutput(301).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(RetryAfterOf(full), std::nullopt);
  held.Shrink(1);
  EXPECT_TRUE(admission.ReserveOutput(301).ok());
  EXPECT_EQ(ReasonOf(full), kReasonMaxTokenVectorBytes);
  const absl::Status never = admission.ReserveOutput(1001).status();
  EXPECT_EQ(never.code(), absl::StatusCode::kInvalidArgument) << "no code that clients retry";
  EXPECT_EQ(RetryAfterOf(never), std::nullopt);
  EXPECT_EQ(ReasonOf(never), kReasonMaxTokenVectorBytes);
  held = OutputReservation();
  EXPECT_EQ(admission.backlog().token_vector_bytes, 0);
}

TEST_F(AdmissionTest, StopAdmitting_RefusesNewOnesAsUnavailable_AndAwaitIdleSeesTheLastPermitGo) {
  Admission admission = Make();
  AdmissionPermit permit = *admission.TryAcquire({.tokens = 10}, never_);
  admission.StopAdmitting();
  const absl::Status refused = admission.TryAcquire({.tokens = 1}, never_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(RetryAfterOf(refused), std::nullopt);
  bool idle = false;
  std::thread drain([&] { idle = admission.AwaitIdle(absl::InfiniteFuture()); });
  clock_.AwaitWaiters(1);
  permit.Release();
  drain.join();
  EXPECT_TRUE(idle);
}

TEST_F(AdmissionTest, AwaitIdle_GivesUpAtItsDeadline) {
  Admission admission = Make();
  AdmissionPermit permit = *admission.TryAcquire({.tokens = 10}, never_);
  bool idle = true;
  std::thread drain([&] { idle = admission.AwaitIdle(In(5)); });
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(5));
  drain.join();
  EXPECT_FALSE(idle);
}

// What hangs on a text counts as memory, and not as text: it says nothing of bytes per token.
TEST_F(AdmissionTest, SpanBytes_AreHeld_AndTeachNothing) {
  Admission admission = Make({.max_queue_bytes = 1000});
  AdmissionPermit permit = *admission.TryAcquire({.bytes = 400, .span_bytes = 300}, never_);
  EXPECT_EQ(admission.backlog().bytes, 700);
  const int64_t estimate = admission.backlog().tokens;
  EXPECT_FALSE(admission.TryAcquire({.bytes = 100, .span_bytes = 201}, never_).ok());
  for (int i = 0; i < 1000; ++i)
    ASSERT_TRUE(admission.Resize(permit, std::vector<TextShape>{100}, 100, never_).ok());
  EXPECT_EQ(admission.backlog().bytes, 700);
  AdmissionPermit again = *admission.TryAcquire({.bytes = 200}, never_);
  // 4 bytes a token were learned, and not 7.
  EXPECT_EQ(admission.backlog().tokens - 100, 2 + 200 / 4);
  EXPECT_EQ(estimate, 2 + 114);
}

// Vectors, global tokens and hash rounds are part of the price, before and after the tokenizer.
TEST_F(AdmissionTest, TheShapeOfAText_IsPriced) {
  Admission admission(
      {.max_queue_wait = absl::Seconds(100)},
      [](const TextShape& text) {
        return 1e-3 * static_cast<double>(text.tokens + text.vectors + 10 * text.hashes +
                                          100 * std::max<int64_t>(0, text.globals));
      },
      &clock_);
  AdmissionPermit permit =
      *admission.TryAcquire({.tokens = 100, .vectors = 50, .hashes = 2}, never_);
  EXPECT_THAT(admission.backlog().seconds(), DoubleNear(0.17, 1e-9));
  TextShape exact(100, 3, 50);
  exact.hashes = 2;
  ASSERT_TRUE(admission.Resize(permit, {&exact, 1}, 0, never_).ok());
  EXPECT_THAT(admission.backlog().seconds(), DoubleNear(0.47, 1e-9));
  exact.globals = 100;
  EXPECT_EQ(ReasonOf(admission.Resize(permit, {&exact, 1}, 0, In(1))), kReasonDeadlineUnreachable);
  // A short text with more vectors than short texts have tokens waits among the longer ones.
  exact = TextShape(100, 0, 65'536);
  ASSERT_TRUE(admission.Resize(permit, {&exact, 1}, 0, never_).ok());
  EXPECT_EQ(admission.backlog().lane_seconds[static_cast<int>(Lane::kShort)], 0);
  EXPECT_GT(admission.backlog().lane_seconds[static_cast<int>(Lane::kBulk)], 0);
}

}  // namespace
}  // namespace longspan
