// Clock: where the engine gets the time and how it waits, so that tests move the time by hand and
// never sleep.
//
// Thread safety: all methods may be called from any thread. The clock must outlive everyone who
// waits on it.
#pragma once

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace longspan {

class Clock {
 public:
  virtual ~Clock() = default;

  // Never runs backwards.
  virtual absl::Time Now() const = 0;
  // The moment by this clock at which a timeout is over. Deadlines of tasks are such moments.
  absl::Time FromTimeout(absl::Duration left) const { return Now() + left; }

  // Waits, with `mu` held, until `condition` is true or `deadline` has passed; returns whether the
  // condition is true. The condition must be one that changes only under `mu`. InfiniteFuture waits
  // for the condition alone.
  virtual bool AwaitUntil(absl::Mutex& mu, const absl::Condition& condition,
                          absl::Time deadline) const ABSL_SHARED_LOCKS_REQUIRED(mu) = 0;
};

// The machine's steady clock, shown as wall-clock time: when somebody sets the system time, no
// request expires early and none lives longer.
class SteadyClock final : public Clock {
 public:
  absl::Time Now() const override;
  bool AwaitUntil(absl::Mutex& mu, const absl::Condition& condition,
                  absl::Time deadline) const override ABSL_SHARED_LOCKS_REQUIRED(mu);
};

}  // namespace longspan
