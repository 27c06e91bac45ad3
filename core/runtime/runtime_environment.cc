#include "core/runtime/runtime_environment.h"

#include <omp.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/library_settings.h"

namespace longspan {
namespace {

struct Default {
  const char* name;
  std::string value;
  const char* other_name;  // of the same setting; null = there is none
};

std::vector<Default> Defaults() {
  const int64_t products = KeptProducts(CgroupMemoryLimit());
  return {
      {"OMP_WAIT_POLICY", "passive", nullptr},
      {"GOMP_SPINCOUNT", "2000", nullptr},
      {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", absl::StrCat(products), "DNNL_PRIMITIVE_CACHE_CAPACITY"}};
}

// Tells the second start what the first one took out: NAME=VALUE, one a line.
constexpr char kRemoved[] = "LONGSPAN_REMOVED_SETTINGS";

// The cores of all places of OpenMP.
cpu_set_t CoresOfPlaces() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> ids(omp_get_place_num_procs(place));
    omp_get_place_proc_ids(place, ids.data());
    for (const int id : ids) CPU_SET(id, &cores);
  }
  return cores;
}

// Undoes what libgomp has done before main: where a variable asks for it, it binds this thread to
// the first place, and a program that is started again inherits that. The cores that the thread had
// before are known by their number: they are those of all places, or all that the cgroup allows.
void Unbind() {
  cpu_set_t bound;
  if (sched_getaffinity(0, sizeof bound, &bound) != 0) return;
  const int before = omp_get_num_procs();  // counted by libgomp before it bound the thread
  if (CPU_COUNT(&bound) >= before) return;
  const cpu_set_t places = CoresOfPlaces();
  if (CPU_COUNT(&places) < before) {
    cpu_set_t all;
    std::memset(&all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, &all);
    if (sched_getaffinity(0, sizeof all, &all) == 0 && CPU_COUNT(&all) == before) return;
  }
  sched_setaffinity(0, sizeof places, &places);
}

// Each function returns whether the environment was changed. A change that fails counts as none:
// the second start would find the same again and start a third.

bool AddDefaults() {
  bool changed = false;
  for (const auto& [name, value, other_name] : Defaults()) {
    if (FindVariable(name) != nullptr) continue;
    if (other_name != nullptr && FindVariable(other_name) != nullptr) continue;
    changed |= setenv(name, value.c_str(), /*overwrite=*/0) == 0;
  }
  return changed;
}

bool RemoveHarmful() {
  std::string removed;
  for (const LibrarySetting& setting : LibrarySettings()) {
    const char* const value =
        setting.use == SettingUse::kRemoved ? FindVariable(setting.name) : nullptr;
    if (value == nullptr) continue;
    const std::string line = absl::StrCat(removed.empty() ? "" : "\n", setting.name, "=", value);
    if (unsetenv(setting.name) == 0) removed += line;
  }
  if (removed.empty()) return false;
  Unbind();
  setenv(kRemoved, removed.c_str(), /*overwrite=*/1);
  return true;
}

// Starts /proc/self/exe again with the arguments that the kernel got. Where somebody ran the
// dynamic loader by name ("ld.so longspan-server ..."), that program is the loader, and the loader
// has taken itself and its own options out of argv.
void RestartLoader() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (!arguments.empty()) execv("/proc/self/exe", argv.data());
}

void Restart(char** argv) {
  // A program that was started in the usual way has a loader, which lies at this address.
  if (getauxval(AT_BASE) == 0) return RestartLoader();
  execv("/proc/self/exe", argv);
  // Without /proc, the path that the kernel was given still names the program.
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel gives pointers as integers here
  const auto* path = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  if (path != nullptr) execv(path, argv);
}

// Lists of processes call a program "exe" that was started through /proc/self/exe.
void NameProcess(const char* path) {
  if (path == nullptr) return;
  const char* const slash = std::strrchr(path, '/');
  const char* const name = slash == nullptr ? path : slash + 1;
  if (*name != '\0') prctl(PR_SET_NAME, name);
}

}  // namespace

int64_t KeptProducts(std::optional<int64_t> memory_limit) {
  constexpr int64_t kFewest = 32, kMost = 256;
  if (!memory_limit.has_value()) return kMost;
  return std::clamp(*memory_limit / 32 / kKeptProductBytes, kFewest, kMost);
}

void EnterRuntimeEnvironment(char** argv) {
  const bool added = AddDefaults();
  const bool removed = RemoveHarmful();
  if (added || removed) Restart(argv);
  NameProcess(argv[0]);
}

std::vector<std::string> RemovedSettings() {
  const char* const lines = FindVariable(kRemoved);
  if (lines == nullptr) return {};
  return absl::StrSplit(lines, '\n', absl::SkipEmpty());
}

}  // namespace longspan
