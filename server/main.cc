// longspan-server: parses the settings, loads the model, listens, serves until SIGTERM or SIGINT,
// and drains.
// Exit codes:
//   0  drained                    3  a second signal, or the drain limit passed with work left
//   1  cannot start               4  the computing device is lost, or a worker hangs
//   2  bad settings
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "core/runtime/runtime_environment.h"
#include "server/served_model.h"
#include "server/server.h"

namespace {

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "longspan-server: %s\n", std::string(status.message()).c_str());
  return code;
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

}  // namespace

int main(int argc, char** argv) {
  longspan::EnterRuntimeEnvironment(argv);
  const sigset_t signals = BlockStopSignals();
  auto parsed = longspan::ParseServerOptions({argv + 1, argv + argc}, longspan::ProcessEnvironment);
  if (!parsed.ok()) return Fail(parsed.status(), 2);
  if (parsed->print_and_exit.has_value())
    return std::fputs(parsed->print_and_exit->c_str(), stdout) < 0;
  longspan::ServerOptions& options = parsed->options;
  if (const absl::Status status = longspan::Validate(options); !status.ok()) return Fail(status, 2);

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
  std::printf("%slongspan-server: gRPC on %s, HTTP on port %d, model %s\n",
              longspan::DescribeOptions(*parsed).c_str(), (*server)->grpc_address().c_str(),
              (*server)->http_port(), (*server)->model_info().name.c_str());
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
