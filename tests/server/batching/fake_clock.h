// FakeClock: a clock for the engine's tests that stands still until a test moves it. A wait ends
// when its condition becomes true or the test has moved the time past its deadline. No real time is
// involved but that of thread switches.
#pragma once

#include <atomic>
#include <map>
#include <vector>

#include "server/batching/clock.h"

namespace longspan {

class FakeClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixNanos(now_ns_.load()); }

  void Advance(absl::Duration by) {
    now_ns_ += absl::ToInt64Nanoseconds(by);
    std::vector<absl::Mutex*> waiting;
    {
      absl::MutexLock lock(&mu_);
      for (const auto& [mu, waits] : waiting_) waiting.push_back(mu);
    }
    // A mutex that is released evaluates the conditions of those who wait for it.
    for (absl::Mutex* mu : waiting) absl::MutexLock lock(mu);
  }

  bool AwaitUntil(absl::Mutex& mu, const absl::Condition& condition,
                  absl::Time deadline) const override ABSL_SHARED_LOCKS_REQUIRED(mu) {
    struct Wait {
      const FakeClock* clock;
      const absl::Condition* condition;
      absl::Time deadline;
    } wait{this, &condition, deadline};
    Register(&mu, +1);
    mu.Await(absl::Condition(
        +[](Wait* w) { return w->condition->Eval() || w->clock->Now() >= w->deadline; }, &wait));
    Register(&mu, -1);
    return condition.Eval();
  }

  // Returns once so many threads wait on this clock.
  void AwaitWaiters(int waiters) const {
    absl::MutexLock lock(&mu_);
    struct Wait {
      const int* num_waits;
      int waiters;
    } wait{&num_waits_, waiters};
    mu_.Await(absl::Condition(
        +[](Wait* w) { return *w->num_waits >= w->waiters; }, &wait));
  }

 private:
  void Register(absl::Mutex* mu, int by) const {
    absl::MutexLock lock(&mu_);
    num_waits_ += by;
    if ((waiting_[mu] += by) == 0) waiting_.erase(mu);
  }

  std::atomic<int64_t> now_ns_{1'000'000'000'000};
  mutable absl::Mutex mu_;
  mutable std::map<absl::Mutex*, int> waiting_ ABSL_GUARDED_BY(mu_);
  mutable int num_waits_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace longspan
