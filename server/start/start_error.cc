#include "server/start/start_error.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/settings/config_file.h"
#include "server/telemetry/line_writer.h"
#include "server/telemetry/log.h"

namespace longspan {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(1);

// The value of a flag, written as --name VALUE or --name=VALUE; the last one counts. Empty where it
// is not given.
std::string FlagOf(const std::vector<std::string>& arguments, const std::string& name) {
  std::string value;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == name && i + 1 < arguments.size()) value = arguments[i + 1];
    if (argument.starts_with(name + "=")) value = argument.substr(name.size() + 1);
  }
  return value;
}

}  // namespace

std::string LogFormatOf(const std::vector<std::string>& arguments, const Environment& environment) {
  std::string format = FlagOf(arguments, "--log-format");
  if (format.empty()) format = environment("LONGSPAN_LOG_FORMAT").value_or("");
  if (format.empty()) {
    std::string path = FlagOf(arguments, "--config");
    if (path.empty()) path = environment("LONGSPAN_CONFIG").value_or("");
    if (!path.empty()) {
      if (const auto values = ReadConfigFile(path); values.ok() && values->contains("log-format"))
        format = values->at("log-format");
    }
  }
  return format == "json" || format == "text" ? format : ServerOptions().log_format;
}

int ReportStartError(const std::string& log_format, const absl::Status& status, int exit_code) {
  std::string line = ShortMessage({status.message().data(), status.message().size()});
  if (log_format == "text") {
    // One line, also where the message quotes a path with a line break in it.
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
    line.insert(0, "longspan-server: ");
  } else {
    line = Log::Line(/*json=*/true, LogLevel::kError, "cannot_start",
                     {{"error", line}, {"exit_code", exit_code}});
  }
  WriteWithin(STDERR_FILENO, line + "\n", kLimit);
  return exit_code;
}

}  // namespace longspan
