// SharedDevice: what the workers of one card know together. Their passes stand in the card's one
// queue, so the pass of the second begins while that of the first still runs, and waits. The
// seconds of a batch, from which predictions are corrected, are those without the wait:
//
//   first    |=======|            its pass is begun at 0 and done at 8: 8
//   second      |----=======|     begun at 3, done at 15: 7
//
// And a card that one of them has lost is lost for all.
//
// Thread safe. Proven by shared_device_test, encoder_worker_test.
#pragma once

#include <algorithm>
#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace longspan {

class SharedDevice {
 public:
  // How long the device computed a pass that was begun at `begin` and is done now, at `end`. Passes
  // are done in the order in which they stand in the queue.
  absl::Duration Computed(absl::Time begin, absl::Time end) {
    absl::MutexLock lock(&mu_);
    const absl::Time from = std::max(begin, last_end_);
    last_end_ = std::max(last_end_, end);
    return std::max(end - from, absl::ZeroDuration());
  }

  void Lose() { lost_ = true; }
  bool lost() const { return lost_; }

 private:
  std::atomic<bool> lost_{false};
  absl::Mutex mu_;
  absl::Time last_end_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace longspan
