// Start errors: the one line that a start that cannot work leaves on stderr. Where the log is JSON,
// it is JSON too, so that whoever collects the log need not know two forms:
//
//   {"time":"...","level":"error","event":"cannot_start","error":"...","exit_code":2}
//   longspan-server: model is not set; give --model DIR, a folder with config.json
//
// Free functions; for the main thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/server_options.h"

namespace longspan {

// The log's format, "json" or "text", as far as it can be told of settings that may be wrong: the
// flag, else the variable, else the configuration file, else the default.
std::string LogFormatOf(const std::vector<std::string>& arguments, const Environment& environment);

// Writes the line, for at most a second where nobody reads stderr. Returns `exit_code`.
int ReportStartError(const std::string& log_format, const absl::Status& status, int exit_code);

}  // namespace longspan
