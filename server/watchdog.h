// Watchdog: tells a busy worker from a dead one. A batch that has given no sign (a seam between layers) for longer than its
// predicted time x factor, and at least a minute, is taken for a dead device: liveness goes bad, and good again if it moves after
// all. A thread of its own, asleep but for one look a second; the destructor joins.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/encoder_worker.h"

namespace longspan {

// True where a worker with this heartbeat is to be taken for dead at `now`.
bool IsStuck(const EncoderWorker::Heartbeat& heartbeat, absl::Time now, double factor);

class Watchdog {
 public:
  // `any_stuck` is asked once a second, `report` is told when the answer changes.
  Watchdog(std::function<bool()> any_stuck, std::function<void(bool stuck)> report, absl::Duration period = absl::Seconds(1));
  ~Watchdog();

 private:
  void Run();

  const std::function<bool()> any_stuck_;
  const std::function<void(bool)> report_;
  const absl::Duration period_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace longspan
