// Signals: what the server does when it is sent one. All threads inherit the mask, so that only
// WaitForStop sees them:
//
//   SIGTERM, SIGINT     stop: drain; a second one ends the process
//   SIGHUP              certificates and keys are looked at again, at once
//   SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGPWR and the real-time ones
//                       logged, and nothing else: by default each would end the process
//   SIGPIPE, SIGXFSZ    ignored; the write that caused it gets an error
//   all others          what the system does: SIGQUIT ends the process with a core file, SIGTSTP
//                       stops it until SIGCONT
//
// Thread safety: none; WaitForStop from one thread at a time.
#pragma once

#include <signal.h>

#include <functional>

#include "server/telemetry/log.h"

namespace longspan {

class Signals {
 public:
  // Blocks the signals of the first three lines and ignores those of the fourth. Before any thread
  // exists.
  Signals();

  // Waits for a signal to stop. Meanwhile `reload` is called for each SIGHUP.
  void WaitForStop(Log* log, const std::function<void()>& reload) const;

 private:
  sigset_t waited_for_{};
};

}  // namespace longspan
