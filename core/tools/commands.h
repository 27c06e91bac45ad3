// The subcommands of longspan-model. Each adds itself to the command line; its callback returns by
// exit code: 0 done, 1 could not (one line on stderr says what, where and what to do); wrong usage
// is CLI11's 100-120.
#pragma once

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace longspan {

inline constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 could not (one line on stderr: what, got, allowed), 100 and above wrong "
    "usage.";

void AddConvertCommand(CLI::App& app);
void AddInspectCommand(CLI::App& app);
void AddMaskCommand(CLI::App& app);
void AddQuantizeCommand(CLI::App& app);

// Prints the status' message and leaves the process with 1 unless it is OK.
void ExitUnlessOk(const absl::Status& status);

}  // namespace longspan
