// longspan-server on a card, as a process of its own. The card is the CPU behind the interface of
// the CUDA plugin (portable_card.cc), so that all but the card's own kernels is what runs on one:
// the choice of the device, types, limits, a card that is full, and one that is lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/integration/server_process.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::Duration kLong = absl::Seconds(60);
const std::string kFixtures = LONGSPAN_FIXTURES;
const std::string kModel = kFixtures + "/longformer-windows";

// The server's program under a second name beside the plugin, which is where it looks for it.
class ProgramBesideThePlugin {
 public:
  ProgramBesideThePlugin() {
    std::filesystem::remove(path_);
    std::filesystem::create_hard_link(LONGSPAN_BINARY_DIR "/longspan-server", path_);
  }
  ~ProgramBesideThePlugin() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_ =
      absl::StrCat(LONGSPAN_BINARY_DIR "/tests/portable_card/longspan-server-", getpid());
};

class DeviceTest : public ::testing::Test {
 protected:
  // `program` = false: the server where it is built, without a plugin beside it.
  void Start(std::vector<std::string> flags, const std::map<std::string, std::string>& card = {},
             bool beside_the_plugin = true) {
    if (std::find(flags.begin(), flags.end(), "--model") == flags.end())
      flags.insert(flags.end(), {"--model", kModel});
    flags.insert(flags.end(), {"--drain-delay", "0", "--log-level", "info"});
    const auto in_child = [this, &card] {
      for (const auto& [name, value] : card)
        setenv(("PORTABLE_CARD_" + name).c_str(), value.c_str(), 1);
      const int log = open(log_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(log, STDERR_FILENO);
      close(log);
    };
    const std::string program =
        beside_the_plugin ? program_.path() : LONGSPAN_BINARY_DIR "/longspan-server";
    process_.emplace(flags, in_child, std::vector<std::string>{program});
  }
  // Starts it and connects. An exception fails the test.
  void Serve(std::vector<std::string> flags, const std::map<std::string, std::string>& card = {}) {
    client_.reset();
    Start(std::move(flags), card);
    const int port = process_->Port();
    if (port == 0) throw std::runtime_error("the server does not start: " + Log());
    client_ = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
  }

  std::string log_path() const { return folder_.path() + "/log"; }
  std::string Log() const {
    std::ifstream file(log_path());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // The events of this name in the log.
  std::vector<nlohmann::json> Events(const std::string& name) const {
    std::vector<nlohmann::json> events;
    std::ifstream file(log_path());
    for (std::string line; std::getline(file, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      EXPECT_TRUE(json.is_object()) << line;
      if (json.is_object() && json["event"] == name) events.push_back(json);
    }
    return events;
  }
  // The only one. The log may still be on its way.
  nlohmann::json Event(const std::string& name) const {
    const absl::Time until = absl::Now() + kLong;
    while (Events(name).empty() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(20));
    const std::vector<nlohmann::json> events = Events(name);
    EXPECT_EQ(events.size(), 1u) << name << "\n" << Log();
    return events.empty() ? nlohmann::json::object() : events[0];
  }
  std::string Metrics() const {
    const std::string out = folder_.path() + "/metrics";
    const std::string url =
        absl::StrCat("http://127.0.0.1:", Event("serving")["http_port"].get<int>(), "/metrics");
    EXPECT_EQ(std::system(absl::StrCat("curl -s --noproxy '*' -o ", out, " ", url).c_str()), 0);
    std::ifstream file(out);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::vector<float>> Vectors(const v1::EncodeRequest& request) {
    const auto answer = client_->Encode(request, kLong);
    EXPECT_TRUE(answer.ok()) << answer.status();
    std::vector<std::vector<float>> vectors;
    if (!answer.ok()) return vectors;
    for (const v1::Encoding& encoding : answer->encodings())
      vectors.emplace_back(encoding.vector().values().begin(), encoding.vector().values().end());
    return vectors;
  }
  int Drain() {
    process_->Signal(SIGTERM);
    return process_->Wait();
  }

  const ProgramBesideThePlugin program_;
  const TemporaryFolder folder_;
  std::optional<ServerProcess> process_;
  std::unique_ptr<Client> client_;
};

v1::EncodeRequest Texts(const std::vector<int>& lengths) {
  std::vector<std::vector<uint32_t>> ids;
  for (size_t text = 0; text < lengths.size(); ++text) {
    ids.emplace_back();
    for (int i = 0; i < lengths[text]; ++i)
      ids.back().push_back(static_cast<uint32_t>(5 + (7 * i + 3 * text) % 50));
  }
  return IdsRequest(ids);
}

void ExpectNear(const std::vector<std::vector<float>>& got,
                const std::vector<std::vector<float>>& want, float tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t text = 0; text < want.size(); ++text) {
    ASSERT_EQ(got[text].size(), want[text].size());
    for (size_t i = 0; i < want[text].size(); ++i)
      ASSERT_NEAR(got[text][i], want[text][i], tolerance) << "text " << text << ", value " << i;
  }
}

TEST_F(DeviceTest, VectorsAreThoseOfTheCpu_InEveryTypeOfACard) {
  v1::EncodeRequest request = Texts({1, 9, 40, 100, 3});
  request.mutable_options()->set_pooling(v1::POOLING_MEAN);
  Serve({"--max-batch-tokens", "256"});
  const std::vector<std::vector<float>> want = Vectors(request);
  EXPECT_EQ(client_->GetModelInfo(kLong)->device(), "cpu");
  EXPECT_EQ(Drain(), 0);
  for (const auto& [dtype, name, tolerance] :
       {std::tuple("float32", "float32", 1e-5F), std::tuple("auto", "bfloat16", 0.05F),
        std::tuple("float16", "float16", 0.01F)}) {
    Serve({"--device", "cuda", "--dtype", dtype, "--max-batch-tokens", "256"});
    ExpectNear(Vectors(request), want, tolerance);
    EXPECT_EQ(client_->GetModelInfo(kLong)->dtype(), name);
    EXPECT_EQ(Drain(), 0) << Log();
  }
}

TEST_F(DeviceTest, TheCardIsNamed_WhereAnOperatorLooks) {
  Serve({"--device", "cuda:0", "--http", "127.0.0.1:0"}, {{"FREE", "900000000"}});
  ASSERT_EQ(Vectors(Texts({9})).size(), 1u);
  const auto info = client_->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->device(), "cuda:0");
  EXPECT_EQ(info->limits().max_batch_tokens(), 65536u);
  EXPECT_EQ(info->num_replicas(), 2u);
  EXPECT_EQ(info->threads_per_replica(), 1u);
  const std::string metrics = Metrics();
  for (const char* line : {"device=\"cuda:0\",dtype=\"float32\"",
                           "longspan_compute_seconds_count{device=\"cuda:0\"} 1",
                           "longspan_device_memory_bytes{kind=\"total\"} 1073741824",
                           "longspan_memory_limit_bytes{kind=\"device\"} 1073741824",
                           "longspan_limit{limit=\"max_batch_tokens\"} 65536"})
    EXPECT_THAT(metrics, HasSubstr(line));
  const nlohmann::json device = Event("device");
  EXPECT_EQ(device["device"], "cuda:0");
  EXPECT_EQ(device["asked"], "cuda:0");
  EXPECT_EQ(device["dtype"], "float32");
  EXPECT_EQ(device["total_bytes"], 1 << 30);
  EXPECT_EQ(Event("serving")["device"], "cuda:0");
  EXPECT_EQ(Event("compute_teams")["chosen_by"], "device");
  EXPECT_TRUE(Events("device_fallback").empty());
}

// The model itself takes 101 tokens.
TEST_F(DeviceTest, TheCardsMemory_BoundsBatchesAndTexts) {
  Serve({"--device", "cuda"}, {{"FREE", "16777216"}});
  const auto info = client_->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  const v1::Limits& limits = info->limits();
  EXPECT_LT(limits.max_batch_tokens(), 65536u);
  EXPECT_GE(limits.max_batch_tokens(), 1024u);
  Serve({"--device", "cuda", "--max-batch-tokens", "64"}, {{"FREE", "100000"}});
  const auto small = client_->GetModelInfo(kLong);
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ(small->limits().max_tokens_set_by(), "memory");
  const int longest = static_cast<int>(small->limits().max_tokens());
  EXPECT_LT(longest, 101);
  EXPECT_EQ(Vectors(Texts({longest})).size(), 1u);
  const auto refused = client_->Encode(Texts({longest + 1}), kLong);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("this server's memory"));
}

TEST_F(DeviceTest, WhatIsMissing_IsSaidInOneLine_WithExitCode1) {
  const std::string missing = "the driver is too old for CUDA 13";
  Start({"--device", "cuda"}, {{"MISSING", missing}});
  EXPECT_EQ(process_->Wait(), 1);
  EXPECT_EQ(Event("cannot_start")["error"], "device is 'cuda': " + missing);
  Start({"--device", "cuda:5"});
  EXPECT_EQ(process_->Wait(), 1);
  EXPECT_EQ(Event("cannot_start")["error"],
            "device is 'cuda:5': the driver knows two cards, 0 and 1");
  Start({"--device", "cuda5"});
  EXPECT_EQ(process_->Wait(), 2);
  EXPECT_EQ(Event("cannot_start")["error"],
            "device is 'cuda5' (command line); allowed: cpu, cuda, cuda:N, cuda:N,M,..., auto");
}

// One scheduler feeds both: a text that waits is taken by whichever is free.
TEST_F(DeviceTest, SeveralCards_ComputeSideBySide) {
  const std::string used = folder_.path() + "/used";
  Serve({"--device", "cuda:1,0", "--max-batch-tokens", "64"},
        {{"USED", used}, {"FREE", "5000000"}});
  const auto info = client_->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->device(), "cuda:1,0");
  EXPECT_EQ(info->num_replicas(), 4u) << "two passes under way on each";
  EXPECT_EQ(Event("device")["total_bytes"], int64_t{2} << 30) << "of both";
  for (const char* card : {".0", ".1"}) std::filesystem::remove(used + card);  // of the warm-up
  const v1::EncodeRequest request = Texts(std::vector<int>(64, 40));
  const std::vector<std::vector<float>> vectors = Vectors(request);
  ASSERT_EQ(vectors.size(), 64u);
  for (const char* card : {".0", ".1"}) EXPECT_TRUE(std::filesystem::exists(used + card)) << card;
  EXPECT_EQ(Drain(), 0);
  Serve({"--max-batch-tokens", "64"});
  ExpectNear(vectors, Vectors(request), 1e-5F);
}

TEST_F(DeviceTest, Auto_IsTheCard_WhereItCanBeUsed) {
  Serve({"--device", "auto", "--max-batch-tokens", "256"});
  EXPECT_EQ(client_->GetModelInfo(kLong)->device(), "cuda:0");
  EXPECT_TRUE(Events("device_fallback").empty());
}

TEST_F(DeviceTest, Auto_IsTheCpu_WhereNoCardCanBeUsed_AndTheLogSaysWhy) {
  Serve({"--device", "auto", "--dtype", "auto"}, {{"MISSING", "no card\nanswers"}});
  const auto info = client_->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->device(), "cpu");
  EXPECT_EQ(info->limits().max_batch_tokens(), 16384u);
  const nlohmann::json fallback = Event("device_fallback");
  EXPECT_EQ(fallback["level"], "warning");
  EXPECT_EQ(fallback["asked"], "auto");
  EXPECT_EQ(fallback["device"], "cpu");
  EXPECT_EQ(fallback["reason"], "no card answers");
  EXPECT_EQ(Event("device")["device"], "cpu");
}

TEST_F(DeviceTest, Auto_IsTheCard_WhereOneCanBeUsed_AndNothingFellBack) {
  for (const std::string model : {"/reformer-local", "/longformer-long"}) {
    Serve({"--device", "auto", "--model", kFixtures + model, "--max-batch-tokens", "256"});
    const auto info = client_->GetModelInfo(kLong);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->device(), "cuda:0") << model;
    EXPECT_TRUE(Events("device_fallback").empty());
  }
}

// The card is too full for the pass of this batch. Whoever fits is answered all the same.
TEST_F(DeviceTest, ABatchThatDoesNotFit_IsHalved_AndTheTextThatFailsAloneIsNamed) {
  const std::string full = folder_.path() + "/full";
  Serve({"--device", "cuda", "--max-batch-tokens", "512", "--batch-timeout", "500ms", "--http",
         "127.0.0.1:0"},
        {{"FULL", full}});
  const v1::EncodeRequest request = Texts({30, 30, 30, 30, 30, 30, 30});
  const std::vector<std::vector<float>> want = Vectors(request);
  std::ofstream(full) << "by another process";
  ExpectNear(Vectors(request), want, 1e-5F);
  EXPECT_THAT(Metrics(), Not(HasSubstr("longspan_oom_splits_total 0")));
  const RawResult alone = CallEncode(*client_, Texts({10, 60}), kLong);
  EXPECT_EQ(alone.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(
      alone.status.error_message(),
      AllOf(HasSubstr("inputs[1] (id 'text-1') with 60 tokens takes about"),
            HasSubstr("does not fit in memory even alone"), HasSubstr("CUDA out of memory")));
  EXPECT_EQ(alone.reason, "MEMORY");
  EXPECT_GT(alone.retry_seconds, 0);
  std::filesystem::remove(full);
  EXPECT_EQ(Vectors(Texts({10, 60})).size(), 2u) << "there is room again";
  EXPECT_EQ(Drain(), 0);
}

TEST_F(DeviceTest, AWarmUpThatDoesNotFit_SaysWhatToDo) {
  const std::string full = folder_.path() + "/full";
  std::ofstream(full) << "by another process";
  Start({"--device", "cuda", "--max-batch-tokens", "256"}, {{"FULL", full}});
  EXPECT_EQ(process_->Wait(), 1);
  EXPECT_THAT(Event("cannot_start")["error"].get<std::string>(),
              AllOf(StartsWith(kModel), HasSubstr("CUDA out of memory"),
                    HasSubstr("max-batch-tokens is 256, give fewer or more room on cuda:0")));
}

TEST_F(DeviceTest, ALostDevice_IsAnswered_LoggedOnce_AndEndsTheProcessWith4) {
  const std::string lost = folder_.path() + "/lost";
  Serve({"--device", "cuda", "--max-batch-tokens", "256"}, {{"LOST", lost}});
  ASSERT_EQ(Vectors(Texts({9})).size(), 1u);
  EXPECT_EQ(*client_->Health("liveness", kLong), "SERVING");
  std::ofstream(lost) << "fell off the bus";
  const auto answer = client_->Encode(Texts({9}), kLong);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answer.status().message()),
              HasSubstr("device cuda:0 is lost: an illegal memory access was encountered"));
  const auto later = client_->Encode(Texts({9}), kLong);
  EXPECT_EQ(later.status().code(), absl::StatusCode::kUnavailable) << "another server can take it";
  EXPECT_EQ(process_->Wait(), 4);
  const nlohmann::json event = Event("device_lost");
  EXPECT_EQ(event["level"], "error");
  EXPECT_EQ(event["device"], "cuda:0");
  EXPECT_THAT(event["error"].get<std::string>(), HasSubstr("an illegal memory access"));
  EXPECT_EQ(event["exit_code"], 4);
  EXPECT_TRUE(Events("worker_dead").empty()) << "said once";
}

}  // namespace
}  // namespace longspan
