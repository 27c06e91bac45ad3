// Calls that end before they are answered: the log and the metrics name the stage that the call was
// in, and the times that it had spent.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);
// What a call has that is to expire. Its stage is reached within a few milliseconds.
constexpr absl::Duration kShort = absl::Milliseconds(1500);
// Ids beyond which a tokenizer thread prepares the input.
constexpr int kForATokenizerThread = 5000;
// Ids of a request that is not even read on a thread of gRPC.
constexpr int kReadByATokenizerThread = 100'000;

// One Encode under way, on a thread of its own.
class RunningEncode {
 public:
  RunningEncode(Client& client, int num_ids, absl::Duration deadline) {
    client.Prepare(&context_, deadline);
    const v1::EncodeRequest request = IdsRequest({std::vector<uint32_t>(num_ids, 7)});
    thread_ = std::thread([this, &client, request] {
      v1::EncodeResponse response;
      status_ = client.stub().Encode(&context_, request, &response);
    });
  }
  ~RunningEncode() {
    if (thread_.joinable()) thread_.join();
  }
  void Cancel() { context_.TryCancel(); }
  grpc::StatusCode Wait() {
    thread_.join();
    return status_.error_code();
  }

 private:
  grpc::ClientContext context_;
  grpc::Status status_;
  std::thread thread_;
};

class StagesTest : public ::testing::TestWithParam<bool> {
 protected:
  static bool expires() { return GetParam(); }
  static std::string metric() {
    return expires() ? "longspan_expired_total" : "longspan_cancelled_total";
  }
  static absl::Duration deadline() { return expires() ? kShort : kLong; }
  static std::string code() { return expires() ? "DEADLINE_EXCEEDED" : "CANCELLED"; }

  void Start(int64_t max_tokens = 1 << 20, int64_t width = 4) {
    fake_.max_tokens = max_tokens;
    fake_.width = width;
    fake_.preparation_gate = preparation_;
    server_ = std::make_unique<TestServer>(
        fake_, ServerOptions{.http = "127.0.0.1:0", .replicas = 1, .tokenizer_threads = 1});
  }
  void TearDown() override {
    preparation_->Open();
    fake_.gate->Open();
    server_.reset();
  }

  std::string Metrics() const {
    const std::string command = absl::StrCat(
        "curl -s --noproxy '*' http://127.0.0.1:", server_->server().http_port(), "/metrics");
    FILE* pipe = popen(command.c_str(), "r");
    std::string page;
    char buffer[4096];
    for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) page.append(buffer, n);
    pclose(pipe);
    return page;
  }
  // Waits until the page of metrics holds the line.
  bool Await(const std::string& line) const {
    for (const absl::Time until = absl::Now() + kLong; absl::Now() < until;) {
      if (absl::StrContains(absl::StrCat("\n", Metrics()), absl::StrCat("\n", line, "\n")))
        return true;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return false;
  }
  // The log line of the one call that ended with code().
  nlohmann::json LogLine() const {
    for (const absl::Time until = absl::Now() + kLong; absl::Now() < until;) {
      server_->log().Flush();
      std::ifstream file(server_->log_path());
      for (std::string line; std::getline(file, line);) {
        auto json = nlohmann::json::parse(line, nullptr, false);
        if (json.is_object() && json.value("event", "") == "request" && json["code"] == code())
          return json;
      }
      absl::SleepFor(absl::Milliseconds(20));
    }
    return nlohmann::json::object();
  }
  // The stage is counted, all others are not, and the log names it. Returns the line.
  nlohmann::json ExpectStage(const std::string& stage) {
    EXPECT_TRUE(Await(absl::StrCat(metric(), "{stage=\"", stage, "\"} 1"))) << Metrics();
    const std::string page = Metrics();
    for (const char* other :
         {"receive", "await_tokenizer", "tokenize", "queue", "compute", "send"}) {
      if (stage == other) continue;
      EXPECT_THAT(page,
                  ::testing::HasSubstr(absl::StrCat(metric(), "{stage=\"", other, "\"} 0\n")));
    }
    nlohmann::json line = LogLine();
    EXPECT_EQ(line.value("stage", ""), stage) << line;
    return line;
  }
  // Ends the call by its deadline, or by its caller.
  void End(RunningEncode& call) const {
    if (!expires()) call.Cancel();
    EXPECT_EQ(call.Wait(),
              expires() ? grpc::StatusCode::DEADLINE_EXCEEDED : grpc::StatusCode::CANCELLED);
  }
  // Waits until the worker holds a batch.
  bool AwaitComputing() const { return Await("longspan_computing_threads 1"); }
  // Waits until the server's one tokenizer thread is held.
  void AwaitPreparing() const {
    for (const absl::Time until = absl::Now() + kLong;
         !preparation_->held() && absl::Now() < until;)
      absl::SleepFor(absl::Milliseconds(2));
  }

  // Starts the server; the call that comes back holds its one tokenizer thread until preparation_
  // is opened.
  std::unique_ptr<RunningEncode> HoldTheTokenizer() {
    Start();
    preparation_->Close();
    auto call = std::make_unique<RunningEncode>(server_->client(), kForATokenizerThread, kLong);
    AwaitPreparing();
    return call;
  }

  std::shared_ptr<Gate> preparation_ = std::make_shared<Gate>();
  FakeModel fake_;
  std::unique_ptr<TestServer> server_;
};

TEST_P(StagesTest, Compute_HasItsSeconds) {
  Start();
  fake_.gate->Close();
  RunningEncode call(server_->client(), 8, deadline());
  ASSERT_TRUE(AwaitComputing());
  absl::SleepFor(absl::Milliseconds(100));
  End(call);
  const nlohmann::json line = ExpectStage("compute");
  EXPECT_GT(line.value("compute_seconds", 0.0), 0.05);
  EXPECT_EQ(line.value("batch_tokens", 0), 8);
  EXPECT_LT(line.value("tokenize_seconds", 1.0), line.value("compute_seconds", 0.0));
}

TEST_P(StagesTest, Queue_HasItsSecondsAndNoneOfTheWorkers) {
  Start();
  fake_.gate->Close();
  RunningEncode first(server_->client(), 8, kLong);
  ASSERT_TRUE(AwaitComputing());
  RunningEncode call(server_->client(), 8, deadline());
  ASSERT_TRUE(Await("longspan_queue_texts 1"));
  absl::SleepFor(absl::Milliseconds(100));
  End(call);
  const nlohmann::json line = ExpectStage("queue");
  EXPECT_GT(line.value("queue_seconds", 0.0), 0.05);
  EXPECT_EQ(line.value("compute_seconds", 1.0), 0);
  fake_.gate->Open();
  EXPECT_EQ(first.Wait(), grpc::StatusCode::OK);
}

TEST_P(StagesTest, Tokenize_HasItsSeconds) {
  Start();
  preparation_->Close();
  RunningEncode call(server_->client(), kForATokenizerThread, deadline());
  AwaitPreparing();
  absl::SleepFor(absl::Milliseconds(100));
  End(call);
  const nlohmann::json line = ExpectStage("tokenize");
  EXPECT_GT(line.value("tokenize_seconds", 0.0), 0.05);
  EXPECT_EQ(line.value("compute_seconds", 1.0), 0);
}

TEST_P(StagesTest, WaitingForTheTokenizer_IsNoTimeInIt) {
  const auto first = HoldTheTokenizer();
  RunningEncode call(server_->client(), kForATokenizerThread, deadline());
  absl::SleepFor(absl::Milliseconds(300));
  End(call);
  const nlohmann::json line = ExpectStage("await_tokenizer");
  EXPECT_EQ(line.value("tokenize_seconds", 1.0), 0);
  EXPECT_GT(line.value("queue_seconds", 0.0), 0.05);
  preparation_->Open();
  EXPECT_EQ(first->Wait(), grpc::StatusCode::OK);
}

TEST_P(StagesTest, Send_WhereTheAnswerIsComputedAndNotTaken) {
  Start(/*max_tokens=*/1 << 20, /*width=*/512);
  grpc::ClientContext context;
  server_->client().Prepare(&context, deadline());
  v1::EncodeTokensRequest request;
  FillIds(std::vector<uint32_t>(20'000, 7), request.mutable_input());  // 40 MB of vectors
  const auto stream = server_->client().stub().EncodeTokens(&context, request);
  ASSERT_TRUE(Await("longspan_batch_texts_count 1"));
  absl::SleepFor(absl::Milliseconds(100));
  if (!expires()) context.TryCancel();
  if (expires()) absl::SleepFor(kShort);
  v1::EncodeTokensResponse message;
  while (stream->Read(&message)) {
  }
  EXPECT_EQ(stream->Finish().error_code(),
            expires() ? grpc::StatusCode::DEADLINE_EXCEEDED : grpc::StatusCode::CANCELLED);
  const nlohmann::json line = ExpectStage("send");
  EXPECT_EQ(line.value("batch_tokens", 0), 20'000);
}

TEST_P(StagesTest, Receive_WhereNoTextHasCome) {
  Start();
  grpc::ClientContext context;
  server_->client().Prepare(&context, deadline());
  const auto stream = server_->client().stub().EncodeStream(&context);
  // The answer to an item without content shows that the call has begun.
  ASSERT_TRUE(stream->Write({}));
  v1::EncodeStreamResponse answer;
  ASSERT_TRUE(stream->Read(&answer));
  if (!expires()) context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(),
            expires() ? grpc::StatusCode::DEADLINE_EXCEEDED : grpc::StatusCode::CANCELLED);
  ExpectStage("receive");
}

// To read a large request takes long. The few threads of gRPC go on for everybody meanwhile.
TEST_P(StagesTest, Receive_WhereALargeRequestWaitsToBeRead) {
  const auto first = HoldTheTokenizer();
  RunningEncode call(server_->client(), kReadByATokenizerThread, deadline());
  ASSERT_TRUE(Await("longspan_receiving_calls 1"));
  EXPECT_TRUE(server_->client().GetModelInfo(kLong).ok());
  End(call);
  ExpectStage("receive");
  EXPECT_TRUE(Await("longspan_receiving_calls 0"));
  preparation_->Open();
  EXPECT_EQ(first->Wait(), grpc::StatusCode::OK);
}

TEST_P(StagesTest, Receive_WhereALargeInputOfAStreamWaitsToBeRead) {
  const auto first = HoldTheTokenizer();
  grpc::ClientContext context;
  server_->client().Prepare(&context, deadline());
  const auto stream = server_->client().stub().EncodeStream(&context);
  v1::EncodeStreamRequest item;
  FillIds(std::vector<uint32_t>(kReadByATokenizerThread, 7), item.mutable_input());
  ASSERT_TRUE(stream->Write(item));
  absl::SleepFor(absl::Milliseconds(100));
  if (!expires()) context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(),
            expires() ? grpc::StatusCode::DEADLINE_EXCEEDED : grpc::StatusCode::CANCELLED);
  ExpectStage("receive");
  preparation_->Open();
  EXPECT_EQ(first->Wait(), grpc::StatusCode::OK);
}

TEST_P(StagesTest, ALargeRequestThatWaitedToBeRead_IsAnswered) {
  const auto first = HoldTheTokenizer();
  RunningEncode call(server_->client(), kReadByATokenizerThread, kLong);
  ASSERT_TRUE(Await("longspan_receiving_calls 1"));
  preparation_->Open();
  EXPECT_EQ(first->Wait(), grpc::StatusCode::OK);
  EXPECT_EQ(call.Wait(), grpc::StatusCode::OK);
}

INSTANTIATE_TEST_SUITE_P(ByTheCallerAndByTheDeadline, StagesTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "expired" : "cancelled"; });

}  // namespace
}  // namespace longspan
