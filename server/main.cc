// longspan-server: parses the settings, loads the model, listens, serves until SIGTERM or SIGINT,
// and drains.
// Exit codes:
//   0  drained                    3  a second signal, or the drain limit passed with work left
//   1  cannot start               4  the computing device is lost, a worker hangs, or the gRPC port
//   2  bad settings                  no longer answers
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "core/error_details.h"
#include "core/runtime/compute_threads.h"
#include "core/runtime/process_checks.h"
#include "core/runtime/process_start.h"
#include "core/runtime/runtime_environment.h"
#include "server/served_model.h"
#include "server/server.h"

namespace {

// One line, also where the message quotes a path with a line break in it.
int Fail(const absl::Status& status, int code) {
  std::string message = longspan::ShortMessage({status.message().data(), status.message().size()});
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  std::fprintf(stderr, "longspan-server: %s\n", message.c_str());
  return code;
}

// Prints what --help, --version and --print-config ask for.
int PrintAndExit(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  const std::string why = longspan::FlushStandardOutput();
  return why.empty() ? 0 : Fail(absl::UnavailableError(why), 1);
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

// Called before any thread exists: all threads inherit the mask, so only sigwait sees the signals.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

__attribute__((section(".preinit_array"),
               used)) void (*const before_libraries)(int, char**,
                                                     char**) = longspan::OccupyStandardStreams;

}  // namespace

int main(int argc, char** argv) {
  longspan::PrepareProcess();
  // Whoever read our output is gone: the write fails, the process lives on.
  std::signal(SIGPIPE, SIG_IGN);
  longspan::EnterRuntimeEnvironment(argv);
  const sigset_t signals = BlockStopSignals();
  auto parsed =
      longspan::ParseServerOptions({argv + std::min(argc, 1), argv + argc},
                                   longspan::ProcessEnvironment, longspan::ProcessVariables());
  if (!parsed.ok()) return Fail(parsed.status(), 2);
  if (parsed->print_and_exit.has_value()) return PrintAndExit(*parsed->print_and_exit);
  longspan::ServerOptions& options = parsed->options;
  if (const absl::Status status = longspan::Validate(options); !status.ok()) return Fail(status, 2);

  if (const absl::Status status = CheckSurroundings(options); !status.ok()) return Fail(status, 1);
  longspan::RaiseOpenFileLimit();
  longspan::Log log(options.log_format, options.log_level);
  if (const auto removed = longspan::RemovedSettings(); !removed.empty())
    log.Write(longspan::LogLevel::kWarning, "settings_removed", {{"variables", removed}});
  auto model = longspan::LoadServedModel(&options);
  if (!model.ok()) return Fail(model.status(), 1);
  if (!model->team_speeds.empty())
    parsed->origins["replicas"] = parsed->origins["threads"] = "measured at start";
  auto server = longspan::Server::Create(options, *std::move(model), &log, [] { _exit(4); });
  if (!server.ok()) return Fail(server.status(), 1);
  if (const absl::Status status = (*server)->Start(); !status.ok()) return Fail(status, 1);
  const int http_port = (*server)->http_port();
  const std::string http = http_port > 0 ? "on port " + std::to_string(http_port) : "off";
  std::printf("%slongspan-server: gRPC on %s, HTTP %s, model %s\n",
              longspan::DescribeOptions(*parsed).c_str(), (*server)->grpc_address().c_str(),
              http.c_str(), (*server)->model_info().name.c_str());
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  // A second signal ends the process at once, whatever the drain is waiting for.
  std::thread([signals] {
    int again = 0;
    sigwait(&signals, &again);
    _exit(3);
  }).detach();
  if (!(*server)->Drain()) _exit(3);
  server->reset();
  return 0;
}
