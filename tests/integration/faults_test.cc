// Faults that happen to a server from outside its calls: certificates and keys that are wrong or
// come in pieces, readers of its output that do not read, signals, restarts. Each is survived and
// named, or ends the start in one line. No test depends on how fast something is: each waits for
// what must come.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "nlohmann/json.hpp"
#include "tests/integration/server_process.h"
#include "tests/temporary_folder.h"
#include "tests/test_certificates.h"

namespace longspan {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr absl::Duration kLong = absl::Seconds(60);
const std::string kFixture = LONGSPAN_FIXTURES "/longformer-windows";

v1::EncodeRequest Request() {
  v1::EncodeRequest request;
  for (const uint32_t id : {52u, 44u, 17u, 28u, 9u})
    request.add_inputs()->mutable_token_ids()->add_ids(id);
  return request;
}

class FaultsTest : public ::testing::Test {
 protected:
  // A server whose stderr is a file, with one core so that it starts soon.
  std::unique_ptr<ServerProcess> Start(std::vector<std::string> extra,
                                       std::function<void()> in_child = {}) {
    if (std::find(extra.begin(), extra.end(), "--model") == extra.end())
      extra.insert(extra.end(), {"--model", kFixture});
    extra.insert(extra.end(), {"--drain-delay", "0", "--replicas", "1", "--threads", "1",
                               "--log-level", "info"});
    return std::make_unique<ServerProcess>(extra, [this, in_child = std::move(in_child)] {
      const int file = open(log_path().c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600);
      dup2(file, STDERR_FILENO);
      close(file);
      if (in_child) in_child();
    });
  }
  std::string log_path() const { return folder_.path() + "/log"; }
  std::string Log() const {
    std::stringstream content;
    content << std::ifstream(log_path()).rdbuf();
    return content.str();
  }
  // Events of the log with this name.
  std::vector<nlohmann::json> Events(const std::string& event) const {
    std::vector<nlohmann::json> events;
    std::istringstream lines(Log());
    for (std::string line; std::getline(lines, line);) {
      auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      EXPECT_TRUE(json.is_object()) << line;
      if (json.is_object() && json["event"] == event) events.push_back(std::move(json));
    }
    return events;
  }
  // Waits until so many events of this name are in the log.
  std::vector<nlohmann::json> AwaitEvents(const std::string& event, size_t number) const {
    for (const absl::Time until = absl::Now() + kLong; absl::Now() < until;) {
      auto events = Events(event);
      if (events.size() >= number) return events;
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << "no " << event << " in " << Log();
    return std::vector<nlohmann::json>(number);
  }
  // The exit code. A server that does not end is killed, after a time that none needs.
  static int End(ServerProcess& server) {
    std::atomic<bool> ended = false;
    std::thread killer([&ended, pid = server.pid()] {
      for (const absl::Time until = absl::Now() + kLong; absl::Now() < until && !ended;)
        absl::SleepFor(absl::Milliseconds(10));
      if (!ended) kill(pid, SIGKILL);
    });
    const int code = server.Wait();
    ended = true;
    killer.join();
    return code;
  }
  // What a start says that does not come about.
  std::string Refusal(std::vector<std::string> extra, int code = 1) {
    fs::remove(log_path());
    const auto server = Start(std::move(extra));
    const bool started = server->Port() != 0;
    EXPECT_FALSE(started);
    if (started) server->Signal(SIGKILL);
    EXPECT_EQ(End(*server), code);
    const std::string log = Log();
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
    const auto json = nlohmann::json::parse(log, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return log;
    EXPECT_EQ(json["event"], "cannot_start");
    EXPECT_EQ(json["level"], "error");
    EXPECT_EQ(json["exit_code"], code);
    return json["error"];
  }
  std::string Write(const std::string& name, const std::string& text) const {
    return folder_.WriteText(name, text);
  }

  TemporaryFolder folder_;
};

absl::Status Call(int port, const ClientOptions& given = {}) {
  ClientOptions options = given;
  options.server = absl::StrCat("127.0.0.1:", port);
  return (*Client::Connect(options))->Encode(Request(), kLong).status();
}

TEST_F(FaultsTest, ACertificateThatCannotBeUsed_EndsTheStart_InOneLineThatNamesIt) {
  const TestIdentity good = MakeIdentity();
  const std::string cert = Write("cert", good.cert_pem), key = Write("key", good.key_pem);
  EXPECT_THAT(Refusal({"--tls-cert", "/nope", "--tls-key", key}),
              HasSubstr("tls-cert /nope cannot be read: No such file or directory"));
  EXPECT_THAT(Refusal({"--tls-cert", folder_.path(), "--tls-key", key}), HasSubstr("is a folder"));
  const std::string other = Write("other", MakeIdentity().key_pem);
  EXPECT_THAT(Refusal({"--tls-cert", cert, "--tls-key", other}), HasSubstr("is not the key of"));
  const std::string locked = Write("locked", EncryptedKey(good));
  EXPECT_THAT(Refusal({"--tls-cert", cert, "--tls-key", locked}), HasSubstr("passphrase"));
  const TestIdentity old = MakeIdentity({.ends = absl::Now() - absl::Hours(1)});
  EXPECT_THAT(Refusal({"--tls-cert", Write("old", old.cert_pem), "--tls-key",
                       Write("oldkey", old.key_pem)}),
              HasSubstr("expired on"));
  EXPECT_THAT(Refusal({"--tls-cert", cert, "--tls-key", key, "--tls-client-ca", key}),
              HasSubstr("holds no certificate"));
}

TEST_F(FaultsTest, AStartError_IsOfTheLogsForm_AlsoWhereTheSettingsAreWrong) {
  // Refusal returns the field `error` of a line of JSON, and a line of text as it is.
  EXPECT_THAT(Refusal({"--max-batch-tokens", "many"}, 2),
              ::testing::StartsWith("max-batch-tokens"));
  EXPECT_THAT(Refusal({"--max-batch-tokens", "many", "--log-format", "text"}, 2),
              ::testing::StartsWith("longspan-server: max-batch-tokens"));
  const std::string config = Write("config", "log-format = text\nno-such-key = 1\n");
  EXPECT_THAT(Refusal({"--config", config}, 2), ::testing::StartsWith("longspan-server: "));
}

TEST_F(FaultsTest, ACertificateWithoutItsKey_IsNotUsed_AndTheNextPairIs) {
  const TestIdentity first = MakeIdentity({.common_name = "first"});
  const TestIdentity second = MakeIdentity({.common_name = "second"});
  const std::string cert = Write("cert", first.cert_pem), key = Write("key", first.key_pem);
  const auto server = Start({"--tls-cert", cert, "--tls-key", key});
  const int port = server->Port();
  ASSERT_GT(port, 0);
  const std::string ca = Write("ca", first.cert_pem + second.cert_pem);
  EXPECT_TRUE(Call(port, {.ca_file = ca}).ok());

  Write("cert", second.cert_pem);
  const nlohmann::json failed = AwaitEvents("reload_failed", 1).front();
  EXPECT_EQ(failed["files"], "tls");
  EXPECT_THAT(failed.value("error", ""), HasSubstr("is not the key of"));
  EXPECT_EQ(CommonNameShown(port), "first");
  EXPECT_TRUE(Call(port, {.ca_file = ca}).ok());

  Write("key", second.key_pem);
  EXPECT_EQ(AwaitEvents("reloaded", 1).front()["subject"], "CN=second");
  for (const absl::Time until = absl::Now() + kLong;
       CommonNameShown(port) != "second" && absl::Now() < until;)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(CommonNameShown(port), "second");
  EXPECT_TRUE(Call(port, {.ca_file = ca}).ok());
  // The handshakes above hung up without a call; what gRPC says of that is an event like others.
  EXPECT_THAT(Log(), ::testing::Not(HasSubstr("\nE1")));
}

TEST_F(FaultsTest, Sighup_TakesNewKeysAtOnce_AndLosesNoCall) {
  const std::string keys = Write("keys", "team old-key\n");
  const auto server = Start({"--auth-keys-file", keys});
  const int port = server->Port();
  ASSERT_GT(port, 0);
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0, answered = 0;
  Write("keys", "team old-key\nsecond new-key\n");
  std::thread caller([&] {
    const auto client = *Client::Connect(
        {.server = absl::StrCat("127.0.0.1:", port), .key = "old-key", .retry = false});
    while (!stop) ++(client->Encode(Request(), kLong).ok() ? answered : failed);
  });
  for (int i = 1; i <= 20; ++i) {
    server->Signal(SIGHUP);
    AwaitEvents("reloading", static_cast<size_t>(i));
  }
  AwaitEvents("reloaded", 1);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGALRM, SIGIO, SIGRTMIN + 3, SIGPIPE})
    server->Signal(signal);
  EXPECT_THAT(AwaitEvents("signal_ignored", 5).front()["signal"], "SIGUSR1");
  EXPECT_TRUE(Call(port, {.key = "new-key"}).ok());
  stop = true;
  caller.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(answered, 0);
  server->Signal(SIGTERM);
  EXPECT_EQ(End(*server), 0);
  bool named = false;
  for (const nlohmann::json& request : Events("request"))
    named |= request.value("key", "") == "team";
  EXPECT_TRUE(named);
  EXPECT_THAT(Log(), ::testing::Not(HasSubstr("old-key")));
}

TEST_F(FaultsTest, ARevokedKey_IsOut_WhateverTheFilesTimeSays) {
  const std::string keys = Write("keys", "first-key\nother-key\n");
  const auto time = fs::last_write_time(keys);
  const auto server = Start({"--auth-keys-file", keys});
  const int port = server->Port();
  ASSERT_GT(port, 0);
  EXPECT_TRUE(Call(port, {.key = "first-key"}).ok());
  Write("keys", "other-key\n");
  fs::last_write_time(keys, time - std::chrono::hours(1));
  AwaitEvents("reloaded", 1);
  EXPECT_TRUE(absl::IsUnauthenticated(Call(port, {.key = "first-key"})));
  Write("keys", "");
  EXPECT_THAT(AwaitEvents("reload_failed", 1).front().value("error", ""), HasSubstr("is empty"));
  EXPECT_TRUE(Call(port, {.key = "other-key"}).ok());
}

// A pipe as stderr or stdout that is full from the beginning, and that nobody reads.
int FullPipe(int* reader) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  const std::string page(4096, 'x');
  while (write(ends[1], page.data(), page.size()) > 0) {
  }
  fcntl(ends[1], F_SETFL, 0);
  *reader = ends[0];
  return ends[1];
}

TEST_F(FaultsTest, WhereNobodyReadsTheLog_ItServesAndEndsAtSigterm) {
  int reader = -1;
  const int full = FullPipe(&reader);
  const auto server = Start({}, [full] { dup2(full, STDERR_FILENO); });
  const int port = server->Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(client->Encode(Request(), kLong).ok());
  server->Signal(SIGTERM);
  EXPECT_EQ(End(*server), 0);
  close(reader);
  close(full);
}

TEST_F(FaultsTest, WhereNobodyReadsItsOutput_ItStartsAllTheSame) {
  int reader = -1;
  const int full = FullPipe(&reader);
  const auto server = Start({}, [full] { dup2(full, STDOUT_FILENO); });
  AwaitEvents("serving", 1);
  server->Signal(SIGTERM);
  EXPECT_EQ(End(*server), 0);
  close(reader);
  close(full);
}

TEST_F(FaultsTest, WhereTheReaderOfTheLogIsGone_ItServesAndEndsAtSigterm) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  const auto server = Start({}, [&] {
    std::signal(SIGPIPE, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
  });
  const int port = server->Port();
  ASSERT_GT(port, 0);
  EXPECT_TRUE(Call(port).ok());
  server->Signal(SIGTERM);
  EXPECT_EQ(End(*server), 0);
  close(ends[1]);
}

// The address stays, as that of a pod behind a service does, and the process is another.
TEST_F(FaultsTest, AClientOutlivesARestart) {
  auto server = Start({});
  const int port = server->Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
  ASSERT_TRUE(client->Encode(Request(), kLong).ok());
  server->Signal(SIGTERM);
  EXPECT_EQ(End(*server), 0);
  std::optional<absl::StatusOr<v1::EncodeResponse>> answer;
  std::thread caller([&] { answer = client->Encode(Request(), kLong); });
  // Longer than four attempts took, of which there were no more.
  absl::SleepFor(absl::Milliseconds(2500));
  const std::string address = absl::StrCat("127.0.0.1:", port);
  server = Start({"--listen", address});
  EXPECT_EQ(server->Port(), port);
  caller.join();
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok()) << answer->status();
}

// A stream of many inputs whose server ends in the middle: each input is answered, and once.
TEST_F(FaultsTest, AStreamOutlivesARestart_WithoutLossOrDouble) {
  auto server = Start({});
  const int port = server->Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
  constexpr int kInputs = 2000;
  int given = 0;
  std::vector<int> answers(kInputs);
  std::atomic<int> answered = 0;
  std::optional<absl::Status> status;
  std::thread caller([&] {
    status = client->EncodeStream(
        {},
        [&]() -> std::optional<v1::Input> {
          if (given == kInputs) return std::nullopt;
          v1::Input input = Request().inputs(0);
          input.set_id(absl::StrCat(given++));
          return input;
        },
        kLong,
        [&](const v1::EncodeStreamResponse& response) {
          EXPECT_EQ(response.encoding().status().code(), 0);
          ++answers[std::stoi(response.encoding().id())];
          ++answered;
        });
  });
  while (answered < 100) absl::SleepFor(absl::Milliseconds(1));
  server->Signal(SIGTERM);
  EXPECT_EQ(End(*server), 0);
  server = Start({"--listen", absl::StrCat("127.0.0.1:", port)});
  caller.join();
  EXPECT_TRUE(status->ok()) << *status;
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 1), kInputs);
}

TEST_F(FaultsTest, TheModelsFiles_MayBeCutOnceItServes) {
  const std::string model = folder_.path() + "/model";
  fs::copy(kFixture, model, fs::copy_options::recursive);
  const auto server = Start({"--model", model});
  const int port = server->Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
  const auto before = client->Encode(Request(), kLong);
  ASSERT_TRUE(before.ok()) << before.status();
  for (const auto& entry : fs::recursive_directory_iterator(model)) {
    if (entry.is_regular_file()) fs::resize_file(entry.path(), 0);
  }
  const auto after = client->Encode(Request(), kLong);
  ASSERT_TRUE(after.ok()) << after.status();
  for (int text = 0; text < before->encodings_size(); ++text) {
    EXPECT_THAT(after->encodings(text).vector().values(),
                ::testing::Pointwise(::testing::FloatNear(1e-5f),
                                     before->encodings(text).vector().values()));
  }
}

}  // namespace
}  // namespace longspan
