// longspan: the command line client. See commands.h for commands and exit codes.
#include <cstdlib>

#include "client/commands.h"

int main(int argc, char** argv) {
  const char* server = std::getenv("LONGSPAN_SERVER");
  const char* key = std::getenv("LONGSPAN_KEY");
  return longspan::RunCommandLine(argc, argv, server == nullptr ? "" : server,
                                  key == nullptr ? "" : key);
}
