// IdleTrimmer: gives memory back to the system once the server has been idle for a while, once per
// idle time. Otherwise, what a text of a million tokens left behind in the caches of the allocators
// would stay until the next large one. Work that comes before that time still finds its memory
// warm.
//
// Look is called once a second (Periodic). Thread safety: Look from one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/time/time.h"

namespace longspan {

class IdleTrimmer {
 public:
  struct Activity {
    bool busy = false;  // a task is in the server
    int64_t tasks = 0;  // let in so far (Admission::Backlog::admitted)
  };

  // `trim` is called by Look, after the server has been idle for `idle_for`.
  IdleTrimmer(std::function<Activity()> activity, std::function<void()> trim,
              absl::Duration idle_for)
      : activity_(std::move(activity)), trim_(std::move(trim)), idle_for_(idle_for) {}

  void Look(absl::Time now) {
    const Activity activity = activity_();
    if (activity.busy || activity.tasks != tasks_seen_) {
      tasks_seen_ = activity.tasks;
      idle_since_ = now;
      trimmed_ = false;
    } else if (!trimmed_ && now - idle_since_ >= idle_for_) {
      trimmed_ = true;
      trim_();
    }
  }

 private:
  const std::function<Activity()> activity_;
  const std::function<void()> trim_;
  const absl::Duration idle_for_;
  // -1, so that the first look begins an idle time: warm-up leaves something to trim, too.
  int64_t tasks_seen_ = -1;
  absl::Time idle_since_ = absl::InfiniteFuture();
  bool trimmed_ = false;
};

}  // namespace longspan
