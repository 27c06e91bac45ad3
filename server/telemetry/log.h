// Log: one line per event on stderr, as a JSON object or as text. Written by a thread of its own: a
// caller never waits for the reader of the log; when 8192 lines wait, the oldest are dropped. Texts
// of callers never go in here.
//
//   log.Write(LogLevel::kInfo, "serving", {{"model", "minilm"}, {"port", 50051}});
//   {"time":"2026-07-01T10:00:00.123Z","level":"info","event":"serving","model":"minilm","port":50051}
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

  // `format`: "json" or "text"; `level`: "debug", "info", "warning", "error". `path` empty =
  // stderr.
  Log(const std::string& format, const std::string& level, const std::string& path = "");
  ~Log();

  void Write(LogLevel level, std::string_view event, const Fields& fields = Fields::object());
  void Flush();

 private:
  const bool json_;
  std::shared_ptr<spdlog::details::thread_pool> writer_;
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace longspan
