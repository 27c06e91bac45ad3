#include "client/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "tests/client/fake_server.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

CommonOptions To(const FakeServer& server) {
  return {.client = {.server = server.address()}, .deadline = absl::Seconds(10)};
}

nlohmann::json Bench(const FakeServer& server, const BenchCommand& command) {
  const auto report = RunBench(To(server), command);
  if (!report.ok()) {
    ADD_FAILURE() << report.status();
    return nlohmann::json::object();
  }
  return nlohmann::json::parse(*report);
}

grpc::Status AnswerAll(const v1::EncodeRequest& request, v1::EncodeResponse* response) {
  response->add_encodings()->set_tokens_used(
      static_cast<uint64_t>(request.inputs(0).token_ids().ids_size()));
  return grpc::Status::OK;
}

TEST(BenchTest, AServerThatIsNotThereIsAnError) {
  const CommonOptions common{.client = {.server = "127.0.0.1:1"}, .deadline = absl::Seconds(1)};
  EXPECT_FALSE(RunBench(common, {.seconds = 0.1}).ok());
}

TEST(BenchTest, BadLengthsAreAnErrorBeforeAnyRequest) {
  FakeServer server;
  EXPECT_THAT(RunBench(To(server), {.lengths = "12x"}).status().message(), HasSubstr("12x"));
  EXPECT_EQ(server.encode_calls(), 0);
}

TEST(BenchTest, EveryRequestIsCountedOnce_WithTheTokensTheServerRead) {
  FakeServer server;
  server.set_on_encode([](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                          v1::EncodeResponse* response) { return AnswerAll(request, response); });
  const auto report =
      Bench(server, {.lengths = "300", .rate = 200, .seconds = 0.5, .warmup_seconds = 0});
  EXPECT_GT(report["requests"], 0);
  EXPECT_EQ(report["requests"], server.encode_calls());
  EXPECT_EQ(report["good"], report["requests"]);
  ASSERT_EQ(report["classes"].size(), 1u);
  EXPECT_EQ(report["classes"][0]["tokens_up_to"], 512);
  EXPECT_TRUE(report["errors"].empty());
}

// The server answers nobody before the fifth request has arrived. A closed loop of one caller would
// wait for ever.
TEST(BenchTest, OpenLoop_GoesOnSending_WhileNobodyAnswers) {
  FakeServer server;
  std::mutex mu;
  std::condition_variable fifth;
  int arrived = 0;
  server.set_on_encode([&](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                           v1::EncodeResponse* response) {
    std::unique_lock lock(mu);
    if (++arrived >= 5) fifth.notify_all();
    fifth.wait(lock, [&] { return arrived >= 5; });
    return AnswerAll(request, response);
  });
  const auto report = Bench(server, {.lengths = "8",
                                     .rate = 100,
                                     .connections = 1,
                                     .seconds = 1,
                                     .request_deadline_seconds = 60});
  EXPECT_GE(report["good"], 5);
  EXPECT_EQ(report["mode"], "open");
}

TEST(BenchTest, ClosedLoop_HasExactlyItsCallersUnderWay) {
  FakeServer server;
  std::atomic<int> under_way = 0, most = 0;
  server.set_on_encode([&](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                           v1::EncodeResponse* response) {
    const int now = ++under_way;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    absl::SleepFor(absl::Milliseconds(2));
    --under_way;
    return AnswerAll(request, response);
  });
  const auto report =
      Bench(server, {.lengths = "8", .concurrency = 3, .seconds = 0.5, .warmup_seconds = 0});
  EXPECT_LE(most, 3);
  EXPECT_GT(report["good"], 3);
  EXPECT_EQ(report["mode"], "closed");
}

TEST(BenchTest, Load_OffersThatMultipleOfTheMeasuredCapacity) {
  FakeServer server;
  server.set_on_encode([](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                          v1::EncodeResponse* response) {
    absl::SleepFor(absl::Milliseconds(20));
    return AnswerAll(request, response);
  });
  const auto report = Bench(server, {.lengths = "8",
                                     .load = 0.1,
                                     .capacity_seconds = 0.5,
                                     .seconds = 0.5,
                                     .warmup_seconds = 0.1});
  EXPECT_GT(report["capacity_per_second"], 0);
  EXPECT_DOUBLE_EQ(report["offered_per_second"].get<double>(),
                   0.1 * report["capacity_per_second"].get<double>());
}

// The server lets short texts pass while long ones wait, as ours does: it answers no long text
// before the callers have stopped.
TEST(BenchTest, Capacity_CountsTheTextsThatWereStillUnderWayToo) {
  FakeServer server;
  absl::Mutex one_at_a_time;
  const absl::Time start = absl::Now();
  server.set_on_encode([&](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                           v1::EncodeResponse* response) {
    if (request.inputs(0).token_ids().ids_size() == 1000) {
      absl::SleepFor(start + absl::Seconds(1) - absl::Now());
      absl::MutexLock lock(&one_at_a_time);
      absl::SleepFor(absl::Milliseconds(5));
    }
    return AnswerAll(request, response);
  });
  const auto report = Bench(server, {.lengths = "50%:10,50%:1000",
                                     .load = 0.1,
                                     .capacity_seconds = 0.5,
                                     .seconds = 0.2,
                                     .warmup_seconds = 0});
  const double tokens_per_second = report["capacity_tokens_per_second"];
  EXPECT_GT(tokens_per_second, 32 * 1000 / 10.0)
      << "each of the 32 callers had a long text under way";
  EXPECT_NEAR(report["capacity_per_second"].get<double>(), tokens_per_second / 505,
              tokens_per_second / 505 * 0.01);
}

TEST(BenchTest, Load_OfAServerThatAnswersNothing_IsAnErrorThatNamesItsCode) {
  FakeServer server;
  server.set_on_encode(
      [](int, grpc::ServerContext*, const v1::EncodeRequest&, v1::EncodeResponse*) {
        absl::SleepFor(absl::Milliseconds(5));
        return grpc::Status(grpc::StatusCode::INTERNAL, "no");
      });
  const auto report =
      RunBench(To(server), {.lengths = "8", .load = 1, .capacity_seconds = 0.2, .seconds = 0.2});
  EXPECT_THAT(report.status().message(), HasSubstr("INTERNAL"));
}

TEST(BenchTest, RefusalsAndPassedDeadlinesAreErrorsByCode_NotRetriedNorGood) {
  FakeServer server;
  server.set_on_encode([](int attempt, grpc::ServerContext* context,
                          const v1::EncodeRequest& request, v1::EncodeResponse* response) {
    if (attempt % 3 == 0) return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    while (attempt % 3 == 1 && !context->IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
    return AnswerAll(request, response);
  });
  const auto report = Bench(server, {.lengths = "8",
                                     .rate = 100,
                                     .seconds = 0.5,
                                     .warmup_seconds = 0,
                                     .request_deadline_seconds = 0.2});
  const int refused = report["errors"].value("RESOURCE_EXHAUSTED", 0);
  const int late = report["errors"].value("DEADLINE_EXCEEDED", 0);
  EXPECT_GT(refused, 0);
  EXPECT_GT(late, 0);
  EXPECT_EQ(report["good"].get<int>() + refused + late, report["requests"].get<int>());
  EXPECT_EQ(report["requests"], server.encode_calls());
  EXPECT_GT(report["refusal_ms"]["p99"], 0);
}

}  // namespace
}  // namespace longspan
