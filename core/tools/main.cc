// longspan-model: the program for offline work on model folders. Its subcommands are in commands.h.
#include <cstdlib>
#include <iostream>

#include "core/runtime/runtime_environment.h"
#include "core/tools/commands.h"

namespace longspan {

void ExitUnlessOk(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "longspan-model: " << std::string(status.message()) << "\n";
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): one thread
}

}  // namespace longspan

int main(int argc, char** argv) {
  longspan::EnterRuntimeEnvironment(argv);
  CLI::App app("Offline tools for longspan's model folders");
  app.set_version_flag("--version", LONGSPAN_VERSION);
  app.footer(longspan::kExitCodes);
  app.require_subcommand(1);
  longspan::AddConvertCommand(app);
  longspan::AddInspectCommand(app);
  longspan::AddMaskCommand(app);
  longspan::AddQuantizeCommand(app);
  for (CLI::App* command : app.get_subcommands({})) command->footer(longspan::kExitCodes);
  CLI11_PARSE(app, argc, argv);
  return 0;
}
