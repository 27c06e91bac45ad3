// The error table of the contract, row by row, on a real server: what happens, which code, which
// detail. Rows about single fields of a request are in encode_service_test
// (BadInput_IsRefusedWithCodeFieldAndAllowedRange).
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <limits>

#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

// Starts a call that waits behind the closed gate, and gives it time to get there.
std::future<RawResult> Occupy(TestServer& server, std::vector<uint32_t> ids) {
  auto call = std::async(std::launch::async, [&server, ids = std::move(ids)] {
    return CallEncode(server.client(), IdsRequest({ids}));
  });
  absl::SleepFor(absl::Milliseconds(100));
  return call;
}

TEST(ErrorTableTest, Loading_IsUnavailableWithRetryInfo) {
  TestServer server({}, {}, /*start=*/false);
  const RawResult result = CallEncode(server.client(), IdsRequest({{1}}));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(result.status.error_message(), HasSubstr("loading"));
  EXPECT_GT(result.retry_seconds, 0);
  EXPECT_FALSE(result.pushback.empty());
}

TEST(ErrorTableTest, FullQueueByBytes_IsResourceExhaustedWithRetryInfo) {
  FakeModel fake;
  TestServer server(fake, {.max_queue_bytes = 100});
  fake.gate->Close();
  auto first = Occupy(server, std::vector<uint32_t>(20, 1));  // 80 bytes
  const RawResult refused = CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(20, 1)}));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.status.error_message(),
              HasSubstr("80 bytes of text; 80 more pass its limit of 100"));
  EXPECT_GT(refused.retry_seconds, 0);
  EXPECT_EQ(refused.pushback,
            absl::StrCat(static_cast<int64_t>(refused.retry_seconds * 1000 + 0.5)));
  fake.gate->Open();
  EXPECT_TRUE(first.get().status.ok());
}

TEST(ErrorTableTest, PredictedWaitOverTheLimit_IsResourceExhaustedWithRetryInfo) {
  FakeModel fake;
  fake.seconds_per_token = 1;
  TestServer server(fake, {.max_queue_seconds = 5, .default_deadline = absl::Seconds(600)});
  fake.gate->Close();
  auto first = Occupy(server, std::vector<uint32_t>(9, 1));
  const RawResult refused = CallEncode(server.client(), IdsRequest({{1}}), absl::Seconds(500));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.status.error_message(),
              HasSubstr("the predicted wait is 9s; the limit is 5s"));
  EXPECT_NEAR(refused.retry_seconds, 4, 0.01);
  fake.gate->Open();
  EXPECT_TRUE(first.get().status.ok());
}

TEST(ErrorTableTest, UnreachableDeadline_StartsNothing) {
  FakeModel fake;
  fake.seconds_per_token = 10;
  TestServer server(fake);
  const RawResult refused =
      CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(10, 1)}), absl::Seconds(20));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.reason, "DEADLINE_UNREACHABLE");
  EXPECT_EQ(*fake.texts_computed, 0);
}

// Warm-up on a busy machine predicts too much. A server that believed it here, with 30 s predicted
// and 20 s left, would refuse a text although it has nothing else to do.
TEST(ErrorTableTest, ALoneTextOnAnIdleServer_IsTriedInSpiteOfItsPrediction) {
  FakeModel fake;
  fake.seconds_per_token = 3;
  TestServer server(fake);
  EXPECT_TRUE(
      CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(10, 1)}), absl::Seconds(20))
          .status.ok());
}

TEST(ErrorTableTest, DeadlinePassedInTheQueue_IsDeadlineExceededAndCostsNoCompute) {
  FakeModel fake;
  TestServer server(fake);
  fake.gate->Close();
  auto first = Occupy(server, {1});
  const RawResult late = CallEncode(server.client(), IdsRequest({{2}}), absl::Milliseconds(100));
  EXPECT_EQ(late.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  absl::SleepFor(absl::Milliseconds(50));
  fake.gate->Open();
  EXPECT_TRUE(first.get().status.ok());
  EXPECT_TRUE(server.server().Drain());
  EXPECT_EQ(*fake.texts_computed, 1);
}

// The reason is what rejected_total{reason} counts and what the log calls `limit`.
TEST(ErrorTableTest, EveryLimitThatRefuses_IsNamedOnTheWire) {
  ServerOptions options{.max_texts_per_request = 2, .max_text_bytes = 4000};
  TestServer server({.width = 4, .max_tokens = 100}, options);
  const auto reason = [&](const v1::EncodeRequest& request) {
    const RawResult result = CallEncode(server.client(), request);
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return result.reason;
  };
  EXPECT_EQ(reason(IdsRequest({{1}, {2}, {3}})), "MAX_TEXTS_PER_REQUEST");
  EXPECT_EQ(reason(IdsRequest({std::vector<uint32_t>(1001, 7)})), "MAX_TEXT_BYTES");
  EXPECT_EQ(reason(IdsRequest({std::vector<uint32_t>(101, 7)})), "MAX_TOKENS");
  v1::EncodeRequest request = IdsRequest({{1}});
  request.mutable_options()->set_prompt_name(std::string(2000, 'p'));
  EXPECT_EQ(reason(request), "MAX_PROMPT_NAME_BYTES");
  request = IdsRequest({{1}});
  request.mutable_inputs(0)->set_id(std::string(5000, 'i'));
  EXPECT_EQ(reason(request), "MAX_ID_BYTES");
  EXPECT_EQ(reason(IdsRequest({{}})), "") << "no limit refuses an empty text";
}

TEST(ErrorTableTest, ATextThatNeverFits_IsNoCodeThatClientsRetry_ItsNeighboursAreAnswered) {
  FakeModel fake;
  fake.fault = [](int32_t first_id, int32_t batch_texts) {
    const bool fits = batch_texts == 1 && first_id != 13;
    return fits ? absl::OkStatus() : absl::ResourceExhaustedError("out of memory");
  };
  TestServer server(fake);
  fake.gate->Close();
  auto first = Occupy(server, {1});
  auto large = Occupy(server, {13, 13});
  auto neighbour = Occupy(server, {3});
  fake.gate->Open();
  EXPECT_TRUE(first.get().status.ok());
  EXPECT_TRUE(neighbour.get().status.ok());
  const RawResult refused = large.get();
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.status.error_message(),
              HasSubstr("inputs[0] (id 'text-0') with 2 tokens does not fit in memory even alone"));
  EXPECT_EQ(refused.reason, "MEMORY");
  EXPECT_EQ(refused.retry_seconds, 0);
  EXPECT_EQ(refused.pushback, "");
}

TEST(ErrorTableTest, NanOutput_IsInternalAndTheServerGoesOn) {
  FakeModel fake;
  fake.fault = [](int32_t first_id, int32_t) {
    return first_id == 13 ? absl::InternalError("the output has NaN values") : absl::OkStatus();
  };
  TestServer server(fake);
  EXPECT_EQ(CallEncode(server.client(), IdsRequest({{13}})).status.error_code(),
            grpc::StatusCode::INTERNAL);
  EXPECT_TRUE(CallEncode(server.client(), IdsRequest({{1}})).status.ok());
  EXPECT_EQ(*server.client().Health("", kLong), "SERVING");
}

TEST(ErrorTableTest, AUnaryCallIsAllOrNothing) {
  FakeModel fake;
  fake.fault = [](int32_t first_id, int32_t) {
    return first_id == 13 ? absl::InternalError("the output has NaN values") : absl::OkStatus();
  };
  TestServer server(fake);
  const RawResult result = CallEncode(server.client(), IdsRequest({{1}, {13}, {2}}));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(result.response.encodings_size(), 0);
}

// main() ends the process with 4 where its server says that the device is lost. Here the same
// callback runs in a process of its own.
TEST(ErrorTableDeathTest, ALostDevice_EndsTheProcessWith4) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        FakeModel fake;
        fake.fault = [](int32_t, int32_t) { return absl::Status(kDeviceLost, "fell off the bus"); };
        TestServer server(fake, {}, /*start=*/true, [] { _exit(4); });
        CallEncode(server.client(), IdsRequest({{1}}));
        absl::SleepFor(absl::Seconds(60));
      },
      testing::ExitedWithCode(4), "");
}

}  // namespace
}  // namespace longspan
