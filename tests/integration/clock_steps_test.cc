// Programs whose wall clock is set while they run. libfaketime stands in for whoever sets it: the
// program reads a wall clock that is moved by what a file says, while the kernel, which ends the
// waits, goes by the real one. So a wait for a moment of the wall clock ends at once, or hours
// late, and a wait by the steady clock does not notice.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
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

// A client that calls this port, with the clock set meanwhile. How long it took, and what it said.
std::pair<absl::Duration, std::string> RunClient(int port, const std::string& deadline,
                                                 const std::string& err,
                                                 const std::function<void()>& in_child,
                                                 const std::function<void()>& meanwhile) {
  const absl::Time start = absl::Now();
  const pid_t client = fork();
  if (client == 0) {
    in_child();
    const int file = open(err.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, STDERR_FILENO);
    const std::string program = LONGSPAN_BINARY_DIR "/longspan";
    const std::string server = absl::StrCat("127.0.0.1:", port);
    execl(program.c_str(), "longspan", "info", "--server", server.c_str(), "--deadline",
          deadline.c_str(), nullptr);
    _exit(127);
  }
  absl::SleepFor(absl::Milliseconds(900));
  meanwhile();
  int status = 0;
  waitpid(client, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 2);
  std::stringstream said;
  said << std::ifstream(err).rdbuf();
  return {absl::Now() - start, said.str()};
}

// gRPC's timers sleep on Abseil's condition variables: here the deadline of a call whose server
// takes the connection and says nothing.
TEST_P(ClockStepsTest, TheClientsDeadline_IsAsLongAsBefore) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const auto [took, said] = RunClient(
      ntohs(address.sin_port), "3s", folder_.path() + "/err", [this] { FakeTime(); },
      [this] { Step(); });
  EXPECT_THAT(said, HasSubstr("DEADLINE_EXCEEDED"));
  EXPECT_GE(took, absl::Milliseconds(2900));
  EXPECT_LT(took, kLong / 2);
  close(listener);
}

// Attempts that begin after the clock was set get the rest of the deadline, as those before did.
TEST_P(ClockStepsTest, TheClientsAttempts_GoOnAsBefore) {
  const auto [took, said] = RunClient(
      1, "4s", folder_.path() + "/err", [this] { FakeTime(); }, [this] { Step(); });
  EXPECT_THAT(said, HasSubstr("UNAVAILABLE"));  // each is refused at once, and none is late
  EXPECT_LT(took, kLong / 2);
}

INSTANTIATE_TEST_SUITE_P(ByAnHour, ClockStepsTest, ::testing::Values("+3600", "-3600"),
                         [](const auto& by) { return by.param[0] == '+' ? "Forward" : "Back"; });

}  // namespace
}  // namespace longspan
