#include "server/watchdog.h"

#include <algorithm>
#include <utility>

namespace longspan {

bool IsStuck(const EncoderWorker::Heartbeat& heartbeat, absl::Time now, double factor) {
  if (!heartbeat.busy) return false;
  const absl::Duration patience = std::max(absl::Minutes(1), absl::Seconds(heartbeat.predicted_seconds * factor));
  return now - heartbeat.last_sign > patience;
}

Watchdog::Watchdog(std::function<bool()> any_stuck, std::function<void(bool)> report, absl::Duration period)
    : any_stuck_(std::move(any_stuck)), report_(std::move(report)), period_(period), thread_([this] { Run(); }) {}

Watchdog::~Watchdog() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void Watchdog::Run() {
  bool reported = false;
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), period_)) return;
    }
    const bool stuck = any_stuck_();
    if (stuck != reported) report_(stuck);
    reported = stuck;
  }
}

}  // namespace longspan
