#include "server/telemetry/log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace longspan {
namespace {

constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                 spdlog::level::warn, spdlog::level::err};

// Lines that may wait to be written: some seconds of requests on a busy server, in a few megabytes.
constexpr size_t kMaxWaitingLines = 8192;

spdlog::level::level_enum LevelOf(const std::string& name) {
  for (int i = 0; i < 4; ++i) {
    if (name == kNames[i]) return kLevels[i];
  }
  return spdlog::level::info;
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

}  // namespace

Log::Log(const std::string& format, const std::string& level, const std::string& path)
    : json_(format != "text"),
      writer_(std::make_shared<spdlog::details::thread_pool>(kMaxWaitingLines, 1)) {
  spdlog::sink_ptr sink;
  if (path.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
  }
  logger_ = std::make_shared<spdlog::async_logger>("longspan", sink, writer_,
                                                   spdlog::async_overflow_policy::overrun_oldest);
  logger_->set_pattern("%v");
  logger_->set_level(LevelOf(level));
  logger_->flush_on(spdlog::level::info);
}

Log::~Log() { logger_->flush(); }

void Log::Write(LogLevel level, std::string_view event, const Fields& fields) {
  const spdlog::level::level_enum spd_level = kLevels[static_cast<int>(level)];
  if (!logger_->should_log(spd_level)) return;
  const std::string line = json_ ? JsonLine(level, event, fields) : TextLine(level, event, fields);
  logger_->log(spd_level, spdlog::string_view_t(line.data(), line.size()));
}

void Log::Flush() { logger_->flush(); }

}  // namespace longspan
