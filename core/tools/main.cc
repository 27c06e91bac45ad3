// longspan-model: the program for offline work on model folders. Its subcommands are in commands.h.
#include <cstdlib>
#include <iostream>
#include <string>

#include "core/runtime/process_checks.h"
#include "core/runtime/process_start.h"
#include "core/runtime/runtime_environment.h"
#include "core/tools/commands.h"
#include "core/weights/one_line.h"

namespace longspan {

void ExitUnlessOk(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "longspan-model: " << OneLine(std::string(status.message())) << "\n";
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): one thread
}

}  // namespace longspan

namespace {

__attribute__((section(".preinit_array"),
               used)) void (*const before_libraries)(int, char**,
                                                     char**) = longspan::OccupyStandardStreams;

}  // namespace

int main(int argc, char** argv) {
  longspan::PrepareProcess();
  longspan::EnterRuntimeEnvironment(argv);
  constexpr int kLeastOpenFiles = 16;
  longspan::ExitUnlessOk(longspan::CheckLimits(kLeastOpenFiles));
  CLI::App app("Offline tools for longspan's model folders");
  app.set_version_flag("--version", LONGSPAN_VERSION);
  app.footer(longspan::kExitCodes);
  app.require_subcommand(1);
  longspan::AddConvertCommand(app);
  longspan::AddInspectCommand(app);
  longspan::AddKeysCommand(app);
  longspan::AddMaskCommand(app);
  longspan::AddQuantizeCommand(app);
  for (CLI::App* command : app.get_subcommands({})) command->footer(longspan::kExitCodes);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version end here, too, with 0.
    if (const int code = app.exit(error); code != 0) return code;
  }
  std::cout.flush();
  if (const std::string why = longspan::FlushStandardOutput(); !why.empty())
    longspan::ExitUnlessOk(absl::UnavailableError(why));
  return 0;
}
