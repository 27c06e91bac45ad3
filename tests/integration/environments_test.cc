// The programs in surroundings that somebody has: descriptors that are closed, pipes that nobody
// reads, small limits, profiles that forbid calls, folders that are gone. Each ends in the right
// vectors, or in one line that names the cause and the documented exit code.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "client/client.h"
#include "nlohmann/json.hpp"
#include "tests/integration/server_process.h"
#include "tests/refused_system_call.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr absl::Duration kLong = absl::Seconds(60);
const std::string kFixture = LONGSPAN_FIXTURES "/longformer-windows";
const std::string kBinaries = LONGSPAN_BINARY_DIR;

v1::EncodeRequest Request() {
  v1::EncodeRequest request;
  for (const uint32_t id : {52u, 44u, 17u, 28u, 9u})
    request.add_inputs()->mutable_token_ids()->add_ids(id);
  return request;
}

std::string Read(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

class EnvironmentsTest : public ::testing::Test {
 protected:
  static std::vector<std::string> Arguments(const std::string& model) {
    return {"--model",   model, "--drain-delay",      "0",  "--replicas",  "1",
            "--threads", "1",   "--max-batch-tokens", "64", "--log-level", "info"};
  }

  // The values of all vectors that this server answers; empty where it does not answer.
  static std::vector<float> Vectors(ServerProcess& server) {
    const int port = server.Port();
    if (port == 0) return {};
    const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
    const auto answer = client->Encode(Request(), kLong);
    if (!answer.ok()) return {};
    std::vector<float> values;
    for (const v1::Encoding& encoding : answer->encodings())
      values.insert(values.end(), encoding.vector().values().begin(),
                    encoding.vector().values().end());
    return values;
  }

  // The server in these surroundings serves the vectors of a server in ordinary ones, and drains.
  void ExpectServes(const std::function<void()>& in_child,
                    const std::vector<std::string>& program = {kBinaries + "/longspan-server"}) {
    ServerProcess ordinary(Arguments(kFixture));
    const std::vector<float> wanted = Vectors(ordinary);
    ASSERT_FALSE(wanted.empty());
    ServerProcess server(Arguments(kFixture), in_child, program);
    EXPECT_EQ(Vectors(server), wanted);
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0);
  }

  // The server in these surroundings ends with code 1 and one line on stderr.
  void ExpectRefusal(const std::function<void()>& in_child, const std::string& says) {
    const std::string path = folder_.path() + "/stderr";
    ServerProcess server(Arguments(kFixture), [&] {
      const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
      dup2(file, STDERR_FILENO);
      close(file);
      in_child();
    });
    EXPECT_EQ(server.Port(), 0);
    EXPECT_EQ(server.Wait(), 1);
    const std::string line = Read(path);
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    // What is found before main is text: nothing is known of the log yet.
    if (line.starts_with("longspan-server: ")) {
      EXPECT_THAT(line, HasSubstr("the current folder"));
      EXPECT_THAT(line, HasSubstr(says));
    } else {
      ASSERT_TRUE(json.is_object()) << line;
      EXPECT_EQ(json["event"], "cannot_start") << line;
      EXPECT_THAT(json["error"].get<std::string>(), HasSubstr(says));
    }
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
  }

  // Exit code and stderr of a shell command.
  std::pair<int, std::string> Shell(const std::string& command) {
    const std::string path = folder_.path() + "/stderr";
    const int status = std::system(("(" + command + ") 2>" + path).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), Read(path)};
  }

  TemporaryFolder folder_;
};

void Limit(int resource, rlim_t soft, rlim_t hard) {
  const rlimit limit = {soft, hard};
  setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

TEST_F(EnvironmentsTest, ClosedDescriptors_AreNotGivenToSocketsAndEvents) {
  ServerProcess server(Arguments(kFixture), [] {
    close(STDIN_FILENO);
    close(STDERR_FILENO);
  });
  EXPECT_FALSE(Vectors(server).empty());
  for (const char* descriptor : {"0", "2"}) {
    EXPECT_EQ(fs::read_symlink(absl::StrCat("/proc/", server.pid(), "/fd/", descriptor)), "/")
        << "the log would be written into it";
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(EnvironmentsTest, AnErrorPipeThatNobodyReads_DoesNotEndTheServer) {
  ExpectServes([] {
    int ends[2];
    if (pipe(ends) != 0) _exit(99);
    close(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
  });
}

TEST_F(EnvironmentsTest, ALogFileAtItsLargestSize_DoesNotEndTheServer) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer itself writes a file before main";
#endif
  const std::string path = folder_.path() + "/log";
  ExpectServes([&] {
    dup2(open(path.c_str(), O_CREAT | O_WRONLY, 0600), STDERR_FILENO);
    Limit(RLIMIT_FSIZE, 0, 0);
  });
}

TEST_F(EnvironmentsTest, ASmallSoftStack_IsRaised) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  const rlim_t hard = limit.rlim_max;
  ExpectServes([hard] { Limit(RLIMIT_STACK, 64 << 10, hard); });
}

TEST_F(EnvironmentsTest, ASmallHardStack_IsNamed) {
  ExpectRefusal([] { Limit(RLIMIT_STACK, 64 << 10, 64 << 10); }, "(ulimit -s)");
}

TEST_F(EnvironmentsTest, FewOpenFiles_AreNamed) {
  ExpectRefusal([] { Limit(RLIMIT_NOFILE, 16, 16); }, "(ulimit -n)");
}

TEST_F(EnvironmentsTest, ThreadsThatMayNotStart_AreNamed) {
  ExpectRefusal(
      [] {
        RefuseSystemCalls({SYS_clone3, SYS_clone}, EAGAIN);
      },
      "threads can start: Resource temporarily unavailable");
  ExpectRefusal([] { RefuseSystemCalls({SYS_clone3}, EPERM); },
                "threads can start: Operation not permitted");
}

TEST_F(EnvironmentsTest, ForbiddenExecutableMemory_IsNamed) {
  ExpectRefusal([] { RefuseExecutableMemory(EACCES); }, "memory may not be made executable");
}

TEST_F(EnvironmentsTest, ADeletedCurrentFolder_IsNamed) {
  const std::string gone = folder_.path() + "/gone";
  ExpectRefusal(
      [&] {
        if (mkdir(gone.c_str(), 0700) != 0 || chdir(gone.c_str()) != 0) _exit(99);
        rmdir(gone.c_str());
      },
      "the current folder does not exist any more");
}

TEST_F(EnvironmentsTest, TheLoaderRunByName) {
  // The interpreter that the kernel would start the program with: the path in PT_INTERP.
  std::string loader;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path != std::string::npos && line.find("/ld-", path) != std::string::npos)
      loader = line.substr(path);
  }
  if (loader.empty()) GTEST_SKIP() << "this system names its loader in another way";
  ExpectServes({}, {loader, kBinaries + "/longspan-server"});
  ExpectServes({}, {loader, "--inhibit-cache", kBinaries + "/longspan-server"});
}

TEST_F(EnvironmentsTest, AFolderWhoseNameIsNotText) {
  const std::string model = folder_.path() + "/caf\xE9\n\"x\"";
  fs::copy(kFixture, model);
  for (const char* format : {"json", "text"}) {
    std::vector<std::string> arguments = Arguments(model);
    arguments.insert(arguments.end(), {"--log-format", format});
    ServerProcess server(arguments);
    const int port = server.Port();
    ASSERT_GT(port, 0) << format;
    const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
    const auto info = client->GetModelInfo(kLong);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->model().find('\n'), std::string::npos);
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0);
  }
}

TEST_F(EnvironmentsTest, OutputThatCannotBeWritten_IsNoSuccess) {
  for (const auto& [command, code] :
       {std::pair("longspan-server --print-config", 1), std::pair("longspan-server --help", 1),
        std::pair("longspan --help", 3), std::pair("longspan-model --help", 1)}) {
    const auto [got, said] = Shell(kBinaries + "/" + command + " >/dev/full");
    EXPECT_EQ(got, code) << command;
    EXPECT_THAT(said, HasSubstr("standard output cannot be written: "));
  }
  const auto [got, said] =
      Shell(kBinaries + "/longspan-model inspect --no-measure " + kFixture + " >&-");
  EXPECT_EQ(got, 1);
  EXPECT_THAT(said, HasSubstr("standard output cannot be written"));
}

TEST_F(EnvironmentsTest, TheClientWithFewOpenFiles_SaysSo) {
  const auto [code, said] = Shell("ulimit -n 8; exec " + kBinaries + "/longspan health");
  EXPECT_EQ(code, 3);
  EXPECT_THAT(said, HasSubstr("8 files may be open at once; 16 are needed (ulimit -n)"));
}

TEST_F(EnvironmentsTest, TheClientWithoutStandardInput_DoesNotReadAnotherDescriptor) {
  const auto [code, said] = Shell("exec " + kBinaries + "/longspan encode - <&-");
  EXPECT_EQ(code, 3);
  EXPECT_THAT(said, HasSubstr("standard input cannot be read: Bad file descriptor"));
}

}  // namespace
}  // namespace longspan
