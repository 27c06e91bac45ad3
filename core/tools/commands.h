// The subcommands of longspan-model. Each function adds one to the command line. The subcommand's
// callback does the work. Exit codes are 0 for done and 1 for could not, with one line on stderr
// that says what, where and what to do. Wrong usage gives CLI11's codes, 100 to 120.
#pragma once

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace longspan {

inline constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 could not (one line on stderr: what, got, allowed), 100 and above wrong "
    "usage.";

void AddConvertCommand(CLI::App& app);
void AddInspectCommand(CLI::App& app);
void AddKeysCommand(CLI::App& app);
void AddMaskCommand(CLI::App& app);
void AddQuantizeCommand(CLI::App& app);

// Unless the status is OK, prints its message on stderr and ends the process with exit code 1.
void ExitUnlessOk(const absl::Status& status);

}  // namespace longspan
