// Log: one line per event on stderr, as a JSON object or as text. A thread of its own writes the
// lines, so no caller waits for whoever reads the log. When 8192 lines wait, a few megabytes, the
// oldest ones are dropped. The texts that callers send are never logged.
//
//   log.Write(LogLevel::kInfo, "serving", {{"port", 50051}});
//   {"time":"2026-07-01T10:00:00.123Z","level":"info","event":"serving","port":50051}
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "nlohmann/json.hpp"

namespace spdlog {
class logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace longspan {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

class Log {
 public:
  using Fields = nlohmann::ordered_json;

  // `format`: "json" or "text". `level`: "debug", "info", "warning" or "error". `path`: a file to
  // append to; empty = stderr.
  Log(const std::string& format, const std::string& level, const std::string& path = "");
  ~Log();

  void Write(LogLevel level, std::string_view event, const Fields& fields = Fields::object());
  // Asks for what waits to be written out; returns before it is.
  void Flush();

 private:
  const bool json_;
  std::shared_ptr<spdlog::details::thread_pool> writer_;  // the queue and its one thread
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace longspan
