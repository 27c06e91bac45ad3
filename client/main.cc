// The program `longspan`, the command line client. Its commands and exit codes: client/commands.h.
#include <cstdlib>

#include "client/commands.h"

int main(int argc, char** argv) {
  const char* server = std::getenv("LONGSPAN_SERVER");
  const char* key = std::getenv("LONGSPAN_KEY");
  return longspan::RunCommandLine(argc, argv, server == nullptr ? "" : server,
                                  key == nullptr ? "" : key);
}
