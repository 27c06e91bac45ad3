// RefusalLog: says which refused connections are worth a line of the log. A flood must not fill it:
// at most one line a second, which tells how many there were since the last one.
//
// Thread safety: Next from any thread.
#pragma once

#include <chrono>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

class RefusalLog {
 public:
  using Clock = std::chrono::steady_clock;

  // Counts one more. The number of those that the line stands for, 0 = no line now.
  int64_t Next(Clock::time_point now) {
    absl::MutexLock lock(&mu_);
    ++count_;
    if (written_ != Clock::time_point{} && now - written_ < std::chrono::seconds(1)) return 0;
    written_ = now;
    const int64_t count = count_;
    count_ = 0;
    return count;
  }

 private:
  absl::Mutex mu_;
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
  Clock::time_point written_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
