#include "server/start/signals.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

std::string NameOf(int signal) {
  const char* const name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("SIG", signal) : absl::StrCat("SIG", name);
}

}  // namespace

Signals::Signals() {
  sigemptyset(&waited_for_);
  for (const int number :
       {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGPWR})
    sigaddset(&waited_for_, number);
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) sigaddset(&waited_for_, number);
  pthread_sigmask(SIG_BLOCK, &waited_for_, nullptr);
  for (const int number : {SIGPIPE, SIGXFSZ}) signal(number, SIG_IGN);
}

void Signals::WaitForStop(Log* log, const std::function<void()>& reload) const {
  while (true) {
    int number = 0;
    if (sigwait(&waited_for_, &number) != 0) continue;
    if (number == SIGTERM || number == SIGINT) return;
    if (number == SIGHUP) {
      log->Write(LogLevel::kInfo, "reloading");
      reload();
    } else {
      log->Write(LogLevel::kWarning, "signal_ignored", {{"signal", NameOf(number)}});
    }
  }
}

}  // namespace longspan
