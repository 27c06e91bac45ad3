#include "core/runtime/runtime_environment.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The environment with which this process was started, as the libraries saw it.
std::string InitialEnvironment() {
  std::ifstream file("/proc/self/environ");
  return {std::istreambuf_iterator<char>(file), {}};
}

// This test runs in a child program only. It enters the environment and prints what its second
// start saw.
TEST(RuntimeEnvironment, DISABLED_Child) {
  std::string self = "child", all = "--gtest_also_run_disabled_tests",
              filter = "--gtest_filter=*DISABLED_Child";
  char* argv[] = {self.data(), all.data(), filter.data(), nullptr};
  EnterRuntimeEnvironment(argv);
  std::printf("pid %d started with: ", getpid());
  for (char c : InitialEnvironment()) std::putchar(c == '\0' ? ' ' : c);
  std::printf("\n");
}

std::string RunChild(const std::string& environment) {
  FILE* const child =
      popen(("exec env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT -u ONEDNN_PRIMITIVE_CACHE_CAPACITY " +
             environment + " /proc/" + std::to_string(getpid()) +
             "/exe --gtest_also_run_disabled_tests --gtest_filter='*DISABLED_Child'")
                .c_str(),
            "r");
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, child)) output.append(buffer, got);
  EXPECT_EQ(pclose(child), 0);
  return output;
}

TEST(RuntimeEnvironment, SetsWhatIsMissing_BeforeTheLibrariesStart) {
  const std::string output = RunChild("");
  EXPECT_THAT(output, HasSubstr("OMP_WAIT_POLICY=passive"));
  EXPECT_THAT(output, HasSubstr("GOMP_SPINCOUNT=2000"));
  EXPECT_THAT(output, HasSubstr("ONEDNN_PRIMITIVE_CACHE_CAPACITY=512"));
}

TEST(RuntimeEnvironment, KeepsWhatTheUserHasSet) {
  const std::string output =
      RunChild("OMP_WAIT_POLICY=active GOMP_SPINCOUNT=7 ONEDNN_PRIMITIVE_CACHE_CAPACITY=");
  EXPECT_THAT(output, HasSubstr("OMP_WAIT_POLICY=active"));
  EXPECT_THAT(output, HasSubstr("GOMP_SPINCOUNT=7"));
  EXPECT_THAT(output, Not(HasSubstr("CAPACITY=512")));
}

}  // namespace
}  // namespace longspan
