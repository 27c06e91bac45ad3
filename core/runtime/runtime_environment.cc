#include "core/runtime/runtime_environment.h"

#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/runtime/library_settings.h"

namespace longspan {
namespace {

struct Default {
  const char* name;
  const char* value;
  const char* other_name;  // of the same setting; null = there is none
};

constexpr Default kDefaults[] = {
    {"OMP_WAIT_POLICY", "passive", nullptr},
    {"GOMP_SPINCOUNT", "2000", nullptr},
    {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "512", "DNNL_PRIMITIVE_CACHE_CAPACITY"}};

// Tells the second start what the first one took out: NAME=VALUE, one a line.
constexpr char kRemoved[] = "LONGSPAN_REMOVED_SETTINGS";

// The stack that glibc gives threads on x86-64 where `ulimit -s` is unlimited.
constexpr size_t kStackBytes = size_t{2} << 20;

void RaiseThreadStacks() {
  pthread_attr_t attributes;
  size_t bytes = 0;
  if (pthread_getattr_default_np(&attributes) != 0) return;
  pthread_attr_getstacksize(&attributes, &bytes);
  if (bytes < kStackBytes && pthread_attr_setstacksize(&attributes, kStackBytes) == 0)
    pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

// Each function returns whether the environment was changed. A change that fails counts as none:
// the second start would find the same again and start a third.

bool AddDefaults() {
  bool changed = false;
  for (const auto& [name, value, other_name] : kDefaults) {
    if (FindVariable(name) != nullptr) continue;
    if (other_name != nullptr && FindVariable(other_name) != nullptr) continue;
    changed |= setenv(name, value, /*overwrite=*/0) == 0;
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
  setenv(kRemoved, removed.c_str(), /*overwrite=*/1);
  return true;
}

}  // namespace

void EnterRuntimeEnvironment(char** argv) {
  RaiseThreadStacks();
  const bool added = AddDefaults();
  const bool removed = RemoveHarmful();
  if (added || removed) execv("/proc/self/exe", argv);
}

std::vector<std::string> RemovedSettings() {
  const char* const lines = FindVariable(kRemoved);
  if (lines == nullptr) return {};
  return absl::StrSplit(lines, '\n', absl::SkipEmpty());
}

}  // namespace longspan
