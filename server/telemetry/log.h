// Log: one line per event on stderr, as a JSON object or as text. A thread of its own writes the
// lines (line_writer.h), so no caller waits for whoever reads the log, and no reader's end harms
// the server. When 8192 lines or 8 MiB wait, the oldest ones are lost and counted, and the event
// `log_dropped` says how many. The texts that callers send are never logged.
//
//   log.Write(LogLevel::kInfo, "serving", {{"port", 50051}});
//   {"time":"2026-07-01T10:00:00.123Z","level":"info","event":"serving","port":50051}
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "server/telemetry/line_writer.h"

namespace longspan {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

class Log {
 public:
  using Fields = nlohmann::ordered_json;

  // `format`: "json" or "text". `level`: "debug", "info", "warning" or "error". `path`: a file to
  // append to; empty = stderr.
  Log(const std::string& format, const std::string& level, const std::string& path = "");

  void Write(LogLevel level, std::string_view event, const Fields& fields = Fields::object());
  // Waits until what was logged so far is written, for at most `limit`. False where it is not: the
  // other end does not read.
  bool Flush(absl::Duration limit = absl::Seconds(1)) { return writer_.Flush(limit); }
  // Lines that were lost so far, because the other end did not take them.
  int64_t num_lost() const { return writer_.num_lost(); }

  // The line of an event, without its line break.
  static std::string Line(bool json, LogLevel level, std::string_view event, const Fields& fields);

 private:
  Log(bool json, LogLevel least, int descriptor);

  const bool json_;
  const LogLevel least_;  // events below it are not logged
  LineWriter writer_;
};

}  // namespace longspan
