// longspan-server: parses the settings, loads the model, listens, serves until SIGTERM or SIGINT,
// and drains.
// Exit codes:
//   0  drained                    3  a second signal, or the drain limit passed with work left
//   1  cannot start               4  the computing device is lost, a worker hangs, or the gRPC port
//   2  bad settings                  no longer answers
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/runtime/compute_threads.h"
#include "core/runtime/memory.h"
#include "core/runtime/process_checks.h"
#include "core/runtime/process_start.h"
#include "core/runtime/runtime_environment.h"
#include "server/rpc/grpc_log.h"
#include "server/server.h"
#include "server/start/served_model.h"
#include "server/start/signals.h"
#include "server/start/start_error.h"
#include "server/telemetry/line_writer.h"

namespace {

// Prints what --help, --version and --print-config ask for.
int PrintAndExit(const std::string& text, const std::string& log_format) {
  std::fputs(text.c_str(), stdout);
  const std::string why = longspan::FlushStandardOutput();
  return why.empty() ? 0 : longspan::ReportStartError(log_format, absl::UnavailableError(why), 1);
}

// The fewest open files with which a server is of use: the libraries, the logs and the two
// listeners take a dozen, connections the rest.
constexpr int kLeastOpenFiles = 32;

absl::Status CheckSurroundings(const longspan::ServerOptions& options) {
  if (absl::Status status = longspan::CheckLimits(kLeastOpenFiles); !status.ok()) return status;
  const int64_t computing =
      std::max<int64_t>(longspan::AvailableCores(), options.replicas * options.threads);
  return longspan::CheckThreadsStart(
      static_cast<int>(computing + options.tokenizer_threads + longspan::kOtherThreads));
}

// How long a reader of stdout that does not read may hold up the start.
constexpr absl::Duration kPrintLimit = absl::Seconds(1);

// A second signal ends the process at once, whatever the drain is waiting for.
void EndAtSecondSignal(const longspan::Signals& signals, longspan::Log* log) {
  std::thread([&signals, log] {
    signals.WaitForStop(log, [] {});
    log->Flush();
    _exit(3);
  }).detach();
}

__attribute__((section(".preinit_array"),
               used)) void (*const before_libraries)(int, char**,
                                                     char**) = longspan::OccupyStandardStreams;

}  // namespace

int main(int argc, char** argv) {
  longspan::PrepareProcess();
  longspan::EnterRuntimeEnvironment(argv);
  longspan::MapLargeBlocks();
  static const longspan::Signals signals;
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const std::string log_format = longspan::LogFormatOf(arguments, longspan::ProcessEnvironment);
  const auto fail = [&log_format](const absl::Status& status, int code) {
    return longspan::ReportStartError(log_format, status, code);
  };
  auto parsed = longspan::ParseServerOptions(arguments, longspan::ProcessEnvironment,
                                             longspan::ProcessVariables());
  if (!parsed.ok()) return fail(parsed.status(), 2);
  if (parsed->print_and_exit.has_value()) return PrintAndExit(*parsed->print_and_exit, log_format);
  longspan::ServerOptions& options = parsed->options;
  if (const absl::Status status = longspan::Validate(options); !status.ok()) return fail(status, 2);

  if (const absl::Status status = CheckSurroundings(options); !status.ok()) return fail(status, 1);
  longspan::RaiseOpenFileLimit();
  // Never destroyed: at the end a thread may still wait for a second signal, to log it.
  static longspan::Log& log = *new longspan::Log(options.log_format, options.log_level);
  const longspan::GrpcLog grpc_log(&log);
  // What was logged comes first, then the reason for the end.
  const auto fail_logged = [&fail](const absl::Status& status) {
    log.Flush();
    return fail(status, 1);
  };
  if (const auto removed = longspan::RemovedSettings(); !removed.empty())
    log.Write(longspan::LogLevel::kWarning, "settings_removed", {{"variables", removed}});
  // Before the model is loaded, which may take minutes.
  if (const absl::Status status = longspan::CheckFiles(options); !status.ok())
    return fail_logged(status);
  const bool default_batch = options.max_batch_tokens == 0;
  auto model = longspan::LoadServedModel(&options);
  if (!model.ok()) return fail_logged(model.status());
  if (default_batch)
    parsed->origins["max-batch-tokens"] = absl::StrCat("default on ", model->info.device);
  if (!model->team_speeds.empty())
    parsed->origins["replicas"] = parsed->origins["threads"] = "measured at start";
  auto server = longspan::Server::Create(options, *std::move(model), &log, [] { _exit(4); });
  if (!server.ok()) return fail_logged(server.status());
  if (const absl::Status status = (*server)->Start(); !status.ok()) return fail_logged(status);
  const int http_port = (*server)->http_port();
  const std::string http = http_port > 0 ? absl::StrCat("on port ", http_port) : "off";
  longspan::WriteWithin(
      STDOUT_FILENO,
      absl::StrCat(longspan::DescribeOptions(*parsed), "longspan-server: gRPC on ",
                   (*server)->grpc_address(), ", HTTP ", http, ", model ",
                   (*server)->model_info().name, "\n"),
      kPrintLimit);

  signals.WaitForStop(&log, [&server] { (*server)->Reload(); });
  EndAtSecondSignal(signals, &log);
  if (!(*server)->Drain()) {
    log.Flush();
    _exit(3);
  }
  server->reset();
  log.Flush();
  return 0;
}
