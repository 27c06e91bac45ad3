// What is refused and in which words. Each case runs in a child of its own, because it takes
// something away from the process for good.
#include "core/runtime/process_checks.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/refused_system_call.h"

namespace longspan {
namespace {

using ::testing::ExitedWithCode;

// Prints the status for the matcher of the death test.
[[noreturn]] void Report(const absl::Status& status) {
  std::fprintf(stderr, "%s", status.ToString().c_str());
  _exit(0);
}

void SetLimit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit = {value, value};
  setrlimit(resource, &limit);
}

bool RefuseThreads(int error) { return RefuseSystemCalls({SYS_clone3, SYS_clone}, error); }

TEST(ProcessChecksTest, AnOrdinaryProcessPasses) {
  EXPECT_TRUE(CheckLimits(3).ok());
  EXPECT_TRUE(CheckExecutableMemory().ok());
  EXPECT_TRUE(CheckThreadsStart(4).ok());
}

TEST(ProcessChecksTest, FewOpenFilesAreNamed) {
  EXPECT_EXIT(
      {
        SetLimit(RLIMIT_NOFILE, 16);
        Report(CheckLimits(32));
      },
      ExitedWithCode(0), "16 files may be open at once; at least 32 are needed .ulimit -n.");
}

TEST(ProcessChecksTest, ASmallStackIsNamed) {
  EXPECT_EXIT(
      {
        SetLimit(RLIMIT_STACK, 64 << 10);
        Report(CheckLimits(3));
      },
      ExitedWithCode(0), "the stack may have 65536 bytes; at least 524288 are needed .ulimit -s.");
}

TEST(ProcessChecksTest, ForbiddenExecutableMemoryIsNamed) {
  EXPECT_EXIT(
      {
        if (!RefuseExecutableMemory(EACCES)) _exit(2);
        Report(CheckExecutableMemory());
      },
      ExitedWithCode(0), "memory may not be made executable: Permission denied;.*systemd");
}

TEST(ProcessChecksTest, ThreadsThatCannotStartAreCounted) {
  EXPECT_EXIT(
      {
        if (!RefuseThreads(EAGAIN)) _exit(2);
        Report(CheckThreadsStart(5));
      },
      ExitedWithCode(0), "only 0 of 5 threads can start: Resource temporarily unavailable");
}

}  // namespace
}  // namespace longspan
