// Programs whose wall clock is set while they run. libfaketime stands in for whoever sets it: the
// program reads a wall clock that is moved by what a file says, while the kernel, which ends the
// waits, goes by the real one. So a wait for a moment of the wall clock ends at once, or hours
// late, and a wait by the steady clock does not notice.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "tests/integration/server_process.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr absl::Duration kLong = absl::Seconds(60);
const std::string kFixture = LONGSPAN_FIXTURES "/longformer-windows";

std::string FakeTimeLibrary() {
  std::error_code none;
  for (const fs::path folder : {"/usr/lib", "/usr/local/lib"}) {
    for (const auto& entry : fs::directory_iterator(folder, none)) {
      const fs::path library = entry.path() / "faketime" / "libfaketimeMT.so.1";
      if (fs::exists(library, none)) return library;
    }
  }
  return "";
}

v1::EncodeRequest Request() {
  v1::EncodeRequest request;
  request.add_inputs()->mutable_token_ids()->add_ids(52);
  return request;
}

class ClockStepsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    library_ = FakeTimeLibrary();
    if (library_.empty()) GTEST_SKIP() << "the package faketime is not installed";
    Set("+0");
  }
  // Moves the wall clock of the program by so much against the real one: "+3600", "-3600".
  void Set(const std::string& by) {
    folder_.WriteText("next", by + "\n");
    fs::rename(folder_.path() + "/next", folder_.path() + "/time");
  }
  void Step() { Set(GetParam()); }
  void FakeTime() const {
    setenv("LD_PRELOAD", library_.c_str(), 1);
    setenv("FAKETIME_TIMESTAMP_FILE", (folder_.path() + "/time").c_str(), 1);
    setenv("FAKETIME_NO_CACHE", "1", 1);
    setenv("DONT_FAKE_MONOTONIC", "1", 1);
    setenv("NO_FAKE_STAT", "1", 1);
  }
  std::unique_ptr<ServerProcess> Start(std::vector<std::string> extra) {
    for (const char* argument :
         {"--model", kFixture.c_str(), "--replicas", "1", "--threads", "1", "--log-level", "info"})
      extra.emplace_back(argument);
    return std::make_unique<ServerProcess>(extra, [this] {
      const int file = open(log_path().c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600);
      dup2(file, STDERR_FILENO);
      close(file);
      FakeTime();
    });
  }
  std::string log_path() const { return folder_.path() + "/log"; }
  std::string Log() const {
    std::stringstream content;
    content << std::ifstream(log_path()).rdbuf();
    return content.str();
  }
  void AwaitLog(const std::string& text) const {
    for (const absl::Time until = absl::Now() + kLong; absl::Now() < until;) {
      if (Log().find(text) != std::string::npos) return;
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << "no " << text << " in " << Log();
  }

  TemporaryFolder folder_;
  std::string library_;
};

// A batch that waits for company, a call that ends at its deadline, keys that are read again, a
// drain with a delay: each with the clock set before it and in the middle of it.
TEST_P(ClockStepsTest, TheServersWaits_AreAsLongAsBefore) {
  const std::string keys = folder_.WriteText("keys", "one-key\n");
  const auto server =
      Start({"--auth-keys-file", keys, "--batch-timeout", "500ms", "--drain-delay", "1s"});
  const int port = server->Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect(
      {.server = absl::StrCat("127.0.0.1:", port), .key = "one-key", .retry = false});
  const auto timed = [&](absl::Duration deadline) {
    const absl::Time start = absl::Now();
    const absl::Status status = client->Encode(Request(), deadline).status();
    return std::pair(status, absl::Now() - start);
  };
  Step();
  const auto [after, waited] = timed(kLong);
  EXPECT_TRUE(after.ok()) << after;
  // The last wait that began before the step is over, and so is one that begins after it.
  Set("+0");
  const auto [back, waited_back] = timed(kLong);
  EXPECT_TRUE(back.ok()) << back;
  // The queue holds the text for the whole of its deadline and not for a moment longer.
  const auto [late, deadline] = timed(absl::Milliseconds(100));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late) || late.ok() || absl::IsResourceExhausted(late))
      << late;
  EXPECT_LT(deadline, kLong);

  Step();
  folder_.WriteText("keys", "two-key\n");
  AwaitLog("\"reloaded\"");
  const auto second = *Client::Connect(
      {.server = absl::StrCat("127.0.0.1:", port), .key = "two-key", .retry = false});
  EXPECT_TRUE(second->Encode(Request(), kLong).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(client->Encode(Request(), kLong).status()));

  const absl::Time drain = absl::Now();
  server->Signal(SIGTERM);
  AwaitLog("\"draining\"");
  Set("+0");
  EXPECT_EQ(server->Wait(), 0);
  EXPECT_GE(absl::Now() - drain, absl::Milliseconds(900));
  EXPECT_LT(absl::Now() - drain, kLong);
  EXPECT_THAT(Log(), HasSubstr("\"all_answered\":true"));
}

// gRPC's timers sleep on Abseil's condition variables: the deadline of a call that nobody answers.
TEST_P(ClockStepsTest, TheClientsDeadline_IsAsLongAsBefore) {
  const auto run = [&](const std::string& deadline) {
    const absl::Time start = absl::Now();
    const pid_t client = fork();
    if (client == 0) {
      FakeTime();
      const std::string program = LONGSPAN_BINARY_DIR "/longspan";
      // Nobody listens there.
      execl(program.c_str(), "longspan", "info", "--server", "127.0.0.1:1", "--deadline",
            deadline.c_str(), nullptr);
      _exit(127);
    }
    absl::SleepFor(absl::Milliseconds(700));
    Step();
    int status = 0;
    waitpid(client, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 2);
    return absl::Now() - start;
  };
  const absl::Duration took = run("2s");
  EXPECT_GE(took, absl::Milliseconds(700));
  EXPECT_LT(took, kLong);
}

INSTANTIATE_TEST_SUITE_P(ByAnHour, ClockStepsTest, ::testing::Values("+3600", "-3600"),
                         [](const auto& by) { return by.param[0] == '+' ? "Forward" : "Back"; });

}  // namespace
}  // namespace longspan
