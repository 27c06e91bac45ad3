#include "server/telemetry/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace longspan {
namespace {

constexpr const char* kNames[] = {"debug", "info", "warning", "error"};

LogLevel LevelOf(const std::string& name) {
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
  return found == std::end(kNames) ? LogLevel::kInfo
                                   : static_cast<LogLevel>(found - std::begin(kNames));
}

std::string Timestamp() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
}

// Bytes that are not UTF-8 become U+FFFD: an id of a caller or a path may hold any.
std::string Dump(const Log::Fields& value) {
  return value.dump(-1, ' ', true, Log::Fields::error_handler_t::replace);
}

std::string TextLine(LogLevel level, std::string_view event, const Log::Fields& fields) {
  std::string line =
      absl::StrCat(Timestamp(), " ", absl::AsciiStrToUpper(kNames[static_cast<int>(level)]), " ",
                   std::string(event));
  for (const auto& [key, value] : fields.items())
    absl::StrAppend(&line, " ", key, "=", Dump(value));
  return line;
}

std::string JsonLine(LogLevel level, std::string_view event, const Log::Fields& fields) {
  Log::Fields line = {
      {"time", Timestamp()}, {"level", kNames[static_cast<int>(level)]}, {"event", event}};
  line.update(fields);
  return Dump(line);
}

// stderr also where the file cannot be opened.
int Descriptor(const std::string& path) {
  const int file =
      path.empty() ? -1 : open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  return file < 0 ? STDERR_FILENO : file;
}

}  // namespace

std::string Log::Line(bool json, LogLevel level, std::string_view event, const Fields& fields) {
  return json ? JsonLine(level, event, fields) : TextLine(level, event, fields);
}

Log::Log(const std::string& format, const std::string& level, const std::string& path)
    : Log(format != "text", LevelOf(level), Descriptor(path)) {}

Log::Log(bool json, LogLevel least, int descriptor)
    : json_(json),
      least_(least),
      writer_(descriptor, /*owned=*/descriptor != STDERR_FILENO, [json](int64_t lines) {
        return Line(json, LogLevel::kWarning, "log_dropped", {{"lines", lines}});
      }) {}

void Log::Write(LogLevel level, std::string_view event, const Fields& fields) {
  if (level >= least_) writer_.Write(Line(json_, level, event, fields));
}

}  // namespace longspan
