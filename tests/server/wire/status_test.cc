#include "server/wire/status.h"

#include <google/rpc/error_details.pb.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "core/error_details.h"

namespace longspan {
namespace {

TEST(StatusTest, EveryCodeHasItsRow) {
  const std::vector<std::pair<absl::Status, int>> rows = {
      {absl::InvalidArgumentError("x"), 400},    {absl::ResourceExhaustedError("x"), 429},
      {absl::DeadlineExceededError("x"), 504},   {absl::UnavailableError("x"), 503},
      {absl::UnauthenticatedError("x"), 401},    {absl::PermissionDeniedError("x"), 403},
      {absl::FailedPreconditionError("x"), 400}, {absl::UnimplementedError("x"), 501},
      {absl::InternalError("x"), 500},           {absl::OkStatus(), 200}};
  for (const auto& [status, http] : rows) {
    EXPECT_EQ(static_cast<int>(ToGrpcStatus(status).error_code()), static_cast<int>(status.code()));
    EXPECT_EQ(ToHttpCode(status), http) << status;
  }
}

// What is too large for ever is told apart from what is full now.
TEST(StatusTest, AMessageThatIsTooLargeIs413ByHttp) {
  const absl::Status full = absl::ResourceExhaustedError("x");
  EXPECT_EQ(ToHttpCode(WithReason(full, kReasonMaxRequestBytes)), 413);
  EXPECT_EQ(ToHttpCode(WithReason(full, kReasonMaxQueueTokens)), 429);
}

TEST(StatusTest, ACodeOutsideTheTable_CountsAsUnknown) {
  for (size_t code = 0; code < kNumCodes; ++code)
    EXPECT_EQ(CodeIndex(static_cast<absl::StatusCode>(code)), code);
  EXPECT_EQ(CodeName(absl::StatusCode::kUnauthenticated), "UNAUTHENTICATED");
  for (const int code : {-1, 17, 99}) {
    EXPECT_EQ(CodeIndex(static_cast<absl::StatusCode>(code)), 2u) << code;
    EXPECT_EQ(CodeName(static_cast<absl::StatusCode>(code)), "UNKNOWN") << code;
  }
}

TEST(StatusTest, DetailsTravel) {
  const absl::Status status =
      WithReason(WithRetryAfter(AtField(absl::ResourceExhaustedError("is full"), "inputs[3].text"),
                                absl::Milliseconds(1500)),
                 "WHY");
  EXPECT_EQ(status.message(), "inputs[3].text is full");
  google::rpc::Status wire;
  ASSERT_TRUE(wire.ParseFromString(ToGrpcStatus(status).error_details()));
  ASSERT_EQ(wire.details_size(), 3);
  google::rpc::BadRequest bad;
  google::rpc::RetryInfo retry;
  google::rpc::ErrorInfo error;
  ASSERT_TRUE(wire.details(0).UnpackTo(&bad));
  ASSERT_TRUE(wire.details(1).UnpackTo(&retry));
  ASSERT_TRUE(wire.details(2).UnpackTo(&error));
  EXPECT_EQ(bad.field_violations(0).field(), "inputs[3].text");
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
  EXPECT_EQ(error.reason(), "WHY");
  EXPECT_EQ(RetryPushbackMs(status), "1500");
  EXPECT_EQ(RetryAfterSeconds(status), "2");
}

TEST(StatusTest, WhatNeverSucceeds_IsNotSentAgain) {
  EXPECT_EQ(RetryPushbackMs(absl::ResourceExhaustedError("too large for ever")), "-1");
  EXPECT_EQ(RetryPushbackMs(absl::UnavailableError("another server may answer")), "");
  EXPECT_EQ(RetryPushbackMs(absl::InvalidArgumentError("no retry")), "");
  EXPECT_EQ(RetryAfterSeconds(absl::ResourceExhaustedError("too large for ever")), "");
}

}  // namespace
}  // namespace longspan
