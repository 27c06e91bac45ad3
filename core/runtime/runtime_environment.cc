#include "core/runtime/runtime_environment.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace longspan {
namespace {

constexpr std::pair<const char*, const char*> kDefaults[] = {
    {"OMP_WAIT_POLICY", "passive"},
    {"GOMP_SPINCOUNT", "2000"},
    {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "512"}};

bool IsSet(std::string_view name) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (std::string_view(*entry).starts_with(std::string(name) + "=")) return true;
  }
  return false;
}

}  // namespace

void EnterRuntimeEnvironment(char** argv) {
  bool added = false;
  for (const auto& [name, value] : kDefaults) {
    if (IsSet(name)) continue;
    // Without the setting, the second start would find it missing again and start a third.
    if (setenv(name, value, /*overwrite=*/0) != 0) return;
    added = true;
  }
  if (added) execv("/proc/self/exe", argv);
}

}  // namespace longspan
