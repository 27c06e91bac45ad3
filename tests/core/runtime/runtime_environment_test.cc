#include "core/runtime/runtime_environment.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/library_settings.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The environment with which this process was started, as the libraries saw it.
std::string InitialEnvironment() {
  std::ifstream file("/proc/self/environ");
  return {std::istreambuf_iterator<char>(file), {}};
}

// The cores that the calling thread may run on, as a list of numbers.
std::string Cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  std::string list;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &cores)) list += std::to_string(core) + ",";
  return list;
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
  for (const std::string& setting : RemovedSettings())
    std::printf("removed: %s\n", setting.c_str());
  std::printf("cores %s\n", Cores().c_str());
}

// `shell` is run before the child starts.
std::string RunChild(const std::string& environment, const std::string& shell = "") {
  FILE* const child = popen(
      (shell + "exec env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT -u ONEDNN_PRIMITIVE_CACHE_CAPACITY " +
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
  EXPECT_THAT(output, HasSubstr("ONEDNN_PRIMITIVE_CACHE_CAPACITY=" +
                                absl::StrCat(KeptProducts(CgroupMemoryLimit()))));
}

// What is kept takes a 32nd of the memory, between 16 and 128 MiB.
TEST(RuntimeEnvironment, KeepsFewerProductsWhereMemoryIsLimited) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  EXPECT_EQ(KeptProducts(std::nullopt), 256);
  EXPECT_EQ(KeptProducts(64 * kGiB), 256);
  EXPECT_EQ(KeptProducts(2 * kGiB), 128);
  EXPECT_EQ(KeptProducts(kGiB / 8), 32);
}

TEST(RuntimeEnvironment, KeepsWhatTheUserHasSet) {
  const std::string output =
      RunChild("OMP_WAIT_POLICY=active GOMP_SPINCOUNT=7 ONEDNN_PRIMITIVE_CACHE_CAPACITY=");
  EXPECT_THAT(output, HasSubstr("OMP_WAIT_POLICY=active"));
  EXPECT_THAT(output, HasSubstr("GOMP_SPINCOUNT=7"));
  EXPECT_THAT(output, HasSubstr("ONEDNN_PRIMITIVE_CACHE_CAPACITY= "));
}

// What would make vectors wrong, crash the process or bind all threads to one core does not reach
// the libraries.
TEST(RuntimeEnvironment, TakesOutWhatIsHarmful_AndSaysWhat) {
  std::string variables;
  for (const LibrarySetting& setting : LibrarySettings())
    variables += std::string(setting.name) + "=1 ";
  const std::string output = RunChild(variables);
  const std::string started = output.substr(output.find("started with: "));
  for (const LibrarySetting& setting : LibrarySettings()) {
    const bool removed = setting.use == SettingUse::kRemoved;
    EXPECT_EQ(started.find(std::string(" ") + setting.name + "=1 ") == std::string::npos, removed)
        << setting.name;
    EXPECT_EQ(output.find(std::string("removed: ") + setting.name + "=1\n") != std::string::npos,
              removed)
        << setting.name;
  }
}

// libgomp binds the main thread before main runs, and a program that is started again inherits it.
TEST(RuntimeEnvironment, UndoesTheBindingOfThreadsToCores) {
  for (const char* variables :
       {"", "OMP_PROC_BIND=true", "OMP_PROC_BIND=master", "OMP_PLACES=cores OMP_PROC_BIND=close"})
    EXPECT_THAT(RunChild(variables), HasSubstr("cores " + Cores() + "\n")) << variables;
  const std::string first = Cores().substr(0, Cores().find(','));
  EXPECT_THAT(RunChild("OMP_PROC_BIND=true", "taskset -pc " + first + " $$ > /dev/null; "),
              HasSubstr("cores " + first + ",\n"));
}

// One of the two names is enough: the other one would win over what the user has set.
TEST(RuntimeEnvironment, KnowsTheOldNameOfASetting) {
  EXPECT_THAT(RunChild("DNNL_PRIMITIVE_CACHE_CAPACITY=9"),
              Not(HasSubstr("ONEDNN_PRIMITIVE_CACHE_CAPACITY")));
}

}  // namespace
}  // namespace longspan
