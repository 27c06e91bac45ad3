// The program `longspan`, the command line client. Its commands and exit codes: client/commands.h.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "client/commands.h"
#include "client/process_start.h"

namespace {

// The fewest open files with which gRPC can call a server; with fewer it aborts.
constexpr unsigned kLeastOpenFiles = 16;
constexpr int kBadFile = 3;

__attribute__((section(".preinit_array"),
               used)) void (*const before_libraries)(int, char**,
                                                     char**) = longspan::OccupyClosedStreams;

}  // namespace

int main(int argc, char** argv) {
  const unsigned long long open_files = longspan::PrepareClient();
  if (open_files < kLeastOpenFiles) {
    std::fprintf(stderr, "longspan: %llu files may be open at once; %u are needed (ulimit -n)\n",
                 open_files, kLeastOpenFiles);
    return kBadFile;
  }
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
    variables.emplace_back(*variable);
  const int code = longspan::RunCommandLine(
      argc, argv,
      [](const std::string& name) -> std::optional<std::string> {
        const char* value = std::getenv(name.c_str());
        if (value == nullptr) return std::nullopt;
        return std::string(value);
      },
      variables);
  const std::string unwritten = longspan::FlushOutput();
  if (code != 0 || unwritten.empty()) return code;
  std::fprintf(stderr, "longspan: %s\n", unwritten.c_str());
  return kBadFile;
}
