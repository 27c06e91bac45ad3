// The server under environment variables that bound, shrink or bind its threads.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/client.h"
#include "tests/integration/server_process.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLong = absl::Minutes(8);

// A server with these variables in its environment. What it writes to stderr goes to a file.
class LimitedServer {
 public:
  LimitedServer(const std::vector<std::pair<std::string, std::string>>& variables,
                std::vector<std::string> arguments) {
    // The one thread of this test: nothing else reads the environment meanwhile.
    std::vector<std::pair<std::string, std::optional<std::string>>> outer;
    for (const auto& [name, value] : variables) {
      const char* const set = std::getenv(name.c_str());
      outer.emplace_back(name, set ? std::optional<std::string>(set) : std::nullopt);
      setenv(name.c_str(), value.c_str(), 1);
    }
    const int before = dup(STDERR_FILENO);
    const int file = open(log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(file, STDERR_FILENO);
    arguments.insert(arguments.end(), {"--model", LONGSPAN_FIXTURES "/led", "--drain-delay", "0",
                                       "--log-level", "warning"});
    process_ = std::make_unique<ServerProcess>(arguments);
    dup2(before, STDERR_FILENO);
    close(before);
    close(file);
    for (const auto& [name, value] : outer) {
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
    }
  }

  // The vector of one text of 64 tokens; empty = it does not serve.
  std::vector<float> Encode() {
    const int port = process_->Port();
    if (port == 0) return {};
    const auto client =
        *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
    v1::EncodeRequest request;
    auto* ids = request.add_inputs()->mutable_token_ids()->mutable_ids();
    for (uint32_t i = 0; i < 64; ++i) ids->Add(3 + i * 7 % 30);
    const auto answer = client->Encode(request, kLong);
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok()) return {};
    const auto& values = answer->encodings(0).vector().values();
    return {values.begin(), values.end()};
  }
  int Stop() {
    process_->Signal(SIGTERM);
    return process_->Wait();
  }
  // The exit code of a server that is not to start.
  int Wait() { return process_->Wait(); }
  std::string Log() const {
    std::ifstream file(log_path());
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string log_path() const { return folder_.path() + "/log"; }

  TemporaryFolder folder_;
  std::unique_ptr<ServerProcess> process_;
};

// The sanitizer of threads runs under a limit of one thread itself (./dev test).
bool IsLimited() { return std::getenv("OMP_THREAD_LIMIT") != nullptr; }

TEST(ThreadLimitsTest, ThreadsThatAreForbidden_EndTheStartAndNameTheVariable) {
  LimitedServer server({{"OMP_THREAD_LIMIT", "1"}}, {"--threads", "2", "--log-format", "text"});
  EXPECT_EQ(server.Wait(), 1);
  EXPECT_EQ(server.Log(),
            "longspan-server: threads is 2; at most 1 can be had here: OMP_THREAD_LIMIT=1 is set; "
            "raise it or ask for fewer\n");
}

TEST(ThreadLimitsTest, WithThreadsLeftOpen_ItTakesWhatItCanHaveAndSaysSo) {
  LimitedServer clean({}, {"--threads", IsLimited() ? "1" : "2"});
  const std::vector<float> want = clean.Encode();
  ASSERT_FALSE(want.empty());
  EXPECT_EQ(clean.Stop(), 0);

  const bool one_core = sysconf(_SC_NPROCESSORS_ONLN) == 1;
  LimitedServer limited({{"OMP_THREAD_LIMIT", "1"}}, {"--replicas", "1"});
  EXPECT_THAT(limited.Encode(), testing::Pointwise(testing::FloatNear(1e-5), want));
  EXPECT_EQ(limited.Stop(), 0);
  if (!one_core && !IsLimited()) {
    EXPECT_THAT(limited.Log(), HasSubstr("threads_limited"));
    EXPECT_THAT(limited.Log(), HasSubstr("OMP_THREAD_LIMIT=1 is set"));
  }
}

TEST(ThreadLimitsTest, SettingsOfTheLibraries_ChangeNoVector) {
  const std::string threads = IsLimited() ? "1" : "2";
  LimitedServer clean({}, {"--threads", threads});
  const std::vector<float> want = clean.Encode();
  ASSERT_FALSE(want.empty());
  EXPECT_EQ(clean.Stop(), 0);
  EXPECT_THAT(clean.Log(), Not(HasSubstr("settings_removed")));

  LimitedServer server({{"OMP_DYNAMIC", "true"},
                        {"OMP_MAX_ACTIVE_LEVELS", "0"},
                        {"OMP_STACKSIZE", "16k"},
                        {"OMP_PROC_BIND", "true"},
                        {"ONEDNN_MAX_CPU_ISA", "SSE41"},
                        {"LRU_CACHE_CAPACITY", "0"},
                        {"MKL_VML_DEBUG_CPU_TYPE", "8"}},
                       {"--threads", threads});
  EXPECT_THAT(server.Encode(), testing::Pointwise(testing::FloatNear(1e-5), want));
  EXPECT_EQ(server.Stop(), 0);
  for (const std::string name :
       {"settings_removed", "OMP_STACKSIZE=16k", "OMP_PROC_BIND=true", "ONEDNN_MAX_CPU_ISA=SSE41",
        "LRU_CACHE_CAPACITY=0", "MKL_VML_DEBUG_CPU_TYPE=8"})
    EXPECT_THAT(server.Log(), HasSubstr(name));
}

}  // namespace
}  // namespace longspan
