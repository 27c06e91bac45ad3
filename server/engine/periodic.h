// Periodic: a thread that calls a function once a period and sleeps in between. The first call
// comes after one period. The destructor ends the thread, after the call under way.
//
// Thread safety: construction and destruction from one thread.
#pragma once

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace longspan {

class Periodic {
 public:
  Periodic(std::function<void()> step, absl::Duration period)
      : step_(std::move(step)), period_(period), thread_([this] { Run(); }) {}
  ~Periodic() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    thread_.join();
  }

 private:
  void Run() {
    while (true) {
      {
        absl::MutexLock lock(&mu_);
        if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), period_)) return;
      }
      step_();
    }
  }

  const std::function<void()> step_;
  const absl::Duration period_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace longspan
