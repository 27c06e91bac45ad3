#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <chrono>
#include <string>

#include "absl/base/attributes.h"
#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace longspan {
namespace {

// Lines of one second that are logged. What gRPC says of its own accord is a line an hour.
constexpr int kLinesASecond = 10;
// gRPC quotes what callers sent.
constexpr size_t kMaxTextBytes = 1024;

ABSL_CONST_INIT absl::Mutex mu(absl::kConstInit);
Log* target ABSL_GUARDED_BY(mu) = nullptr;
std::chrono::steady_clock::time_point second_began ABSL_GUARDED_BY(mu);
int lines_of_second ABSL_GUARDED_BY(mu) = 0;
int64_t left_out ABSL_GUARDED_BY(mu) = 0;

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      break;
  }
  // An error for gRPC is one connection's trouble.
  return LogLevel::kWarning;
}

void Take(gpr_log_func_args* line) {
  absl::MutexLock lock(&mu);
  if (target == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - second_began >= std::chrono::seconds(1)) {
    second_began = now;
    lines_of_second = 0;
  }
  if (++lines_of_second > kLinesASecond) {
    ++left_out;
    return;
  }
  Log::Fields fields = {{"message", std::string(line->message).substr(0, kMaxTextBytes)},
                        {"source", absl::StrCat(line->file, ":", line->line)}};
  if (left_out > 0) fields["left_out_before"] = left_out;
  left_out = 0;
  target->Write(LevelOf(line->severity), "grpc", fields);
}

void SetTarget(Log* log) {
  absl::MutexLock lock(&mu);
  target = log;
}

}  // namespace

GrpcLog::GrpcLog(Log* log) {
  SetTarget(log);
  gpr_set_log_function(&Take);
}

// Threads of gRPC may still be in Take, so it stays, and says nothing.
GrpcLog::~GrpcLog() { SetTarget(nullptr); }

}  // namespace longspan
