// Options of the command line that several commands take in the same way.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace longspan {

// Adds an option that takes one of `choices`; "-" may be written for "_".
CLI::Option* AddChoice(CLI::App* app, const std::string& name, std::string* value,
                       const std::vector<std::string>& choices, const std::string& description);

// Adds an option that takes a time: a plain number of seconds, or what absl::ParseDuration reads
// (500ms, 120s, 5m). It must be above zero; with `allow_zero`, zero is allowed too.
CLI::Option* AddDuration(CLI::App* app, const std::string& name, absl::Duration* value,
                         bool allow_zero, const std::string& description);

}  // namespace longspan
