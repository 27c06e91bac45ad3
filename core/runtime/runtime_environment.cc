#include "core/runtime/runtime_environment.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
  const auto* path = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  if (path != nullptr) execv(path, argv);
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
  if (added) Restart(argv);
}

}  // namespace longspan
