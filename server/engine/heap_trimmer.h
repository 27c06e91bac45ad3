// HeapTrimmer: gives back to the system what malloc keeps of memory that is free again, also while
// the server is busy. malloc gives back by itself only what lies at the end of its heaps, so after
// an attack of large messages some hundred MiB would stay resident until the server is idle
// (idle_trimmer.h).
//
// Look is called once a second (Periodic). Thread safety: Look from one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/time/time.h"

namespace longspan {

class HeapTrimmer {
 public:
  // `unused_bytes`: resident and in use by nobody. `trim` is called by Look where they are more
  // than `most` above what they were at the first look, and not again before `pause` has passed:
  // what malloc cannot give back must not cost a walk through its heaps each second.
  HeapTrimmer(std::function<int64_t()> unused_bytes, std::function<void()> trim, int64_t most,
              absl::Duration pause)
      : unused_bytes_(std::move(unused_bytes)),
        trim_(std::move(trim)),
        most_(most),
        pause_(pause) {}

  void Look(absl::Time now) {
    if (now < not_before_) return;
    const int64_t unused = unused_bytes_();
    if (at_rest_ < 0) at_rest_ = unused;
    if (unused - at_rest_ <= most_) return;
    trim_();
    not_before_ = now + pause_;
  }

 private:
  const std::function<int64_t()> unused_bytes_;
  const std::function<void()> trim_;
  const int64_t most_;
  const absl::Duration pause_;
  int64_t at_rest_ = -1;  // -1 = not looked yet
  absl::Time not_before_ = absl::InfinitePast();
};

}  // namespace longspan
