// The program `longspan`, the command line client. Its commands and exit codes: client/commands.h.
#include <cstdlib>
#include <optional>
#include <string>

#include "client/commands.h"

int main(int argc, char** argv) {
  return longspan::RunCommandLine(argc, argv,
                                  [](const std::string& name) -> std::optional<std::string> {
                                    const char* value = std::getenv(name.c_str());
                                    if (value == nullptr) return std::nullopt;
                                    return std::string(value);
                                  });
}
