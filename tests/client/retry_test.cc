#include "client/retry.h"

#include <gtest/gtest.h>

#include <optional>

namespace longspan {
namespace {

class RetryTest : public testing::Test {
 protected:
  Retry Make(absl::Duration deadline, bool allowed = true) {
    return Retry({.allowed = allowed, .deadline = deadline, .reach_limit = absl::Seconds(10)},
                 [this] { return now_; });
  }
  // Attempts that take no time and fail like this, until there is no other; how many there were.
  int Attempts(Retry retry, grpc::StatusCode code, bool reached,
               std::optional<absl::Duration> pushback = std::nullopt) {
    while (const auto pause = retry.PauseAfter(code, pushback, reached)) {
      EXPECT_LT(*pause, retry.Left());
      now_ += *pause;
    }
    return retry.attempts();
  }

  const absl::Time began_ = absl::FromUnixSeconds(1000);
  absl::Time now_ = began_;
};

TEST_F(RetryTest, AServerThatWasReached_IsTriedUntilTheDeadline) {
  EXPECT_GT(Attempts(Make(absl::Seconds(120)), grpc::StatusCode::UNAVAILABLE, /*reached=*/true),
            50);
  EXPECT_GT(now_ - began_, absl::Seconds(117));
}

TEST_F(RetryTest, AServerThatNeverWas_IsTriedForTheReachLimit_AndNoLongerThanTheDeadline) {
  Attempts(Make(absl::Seconds(120)), grpc::StatusCode::UNAVAILABLE, /*reached=*/false);
  EXPECT_GE(now_ - began_, absl::Seconds(10));
  EXPECT_LT(now_ - began_, absl::Seconds(13));
  now_ = began_;
  Attempts(Make(absl::Seconds(2)), grpc::StatusCode::UNAVAILABLE, /*reached=*/false);
  EXPECT_LT(now_ - began_, absl::Seconds(2));
}

TEST_F(RetryTest, AnOverloadedServer_IsTriedUntilTheDeadlineWhereItSaysWhen) {
  const auto code = grpc::StatusCode::RESOURCE_EXHAUSTED;
  EXPECT_EQ(Attempts(Make(absl::Seconds(120)), code, true), 4);
  now_ = began_;
  EXPECT_GT(Attempts(Make(absl::Seconds(120)), code, true, absl::Seconds(5)), 20);
  EXPECT_EQ(Attempts(Make(absl::Seconds(120)), code, true, absl::Seconds(-1)), 1);
}

TEST_F(RetryTest, ThePauseIsTheServers_GiveOrTakeAFifth) {
  for (int i = 0; i < 100; ++i) {
    const auto pause =
        Make(absl::Seconds(60))
            .PauseAfter(grpc::StatusCode::UNAVAILABLE, absl::Seconds(5), /*reached=*/true);
    ASSERT_TRUE(pause.has_value());
    EXPECT_GE(*pause, absl::Seconds(4));
    EXPECT_LE(*pause, absl::Seconds(6));
  }
}

TEST_F(RetryTest, WhatTimeDoesNotHeal_IsTriedOnce) {
  for (const auto code : {grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::UNAUTHENTICATED,
                          grpc::StatusCode::DEADLINE_EXCEEDED, grpc::StatusCode::INTERNAL})
    EXPECT_EQ(Attempts(Make(absl::Seconds(60)), code, true), 1);
  EXPECT_EQ(
      Attempts(Make(absl::Seconds(60), /*allowed=*/false), grpc::StatusCode::UNAVAILABLE, true), 1);
}

}  // namespace
}  // namespace longspan
