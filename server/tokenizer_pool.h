// TokenizerPool: a few threads for work before the queue: tokenising, truncation, mapping of ranges. Asleep when idle. Bounded by
// admission: whoever submits holds a permit. Large texts may occupy all threads but one, so that short ones never wait behind
// them (with one thread they do).
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

class TokenizerPool {
 public:
  // Called once: with OK on a pool thread, or with UNAVAILABLE (on any thread) where the pool was shut down before its turn came.
  using Job = absl::AnyInvocable<void(const absl::Status& status)>;

  explicit TokenizerPool(int num_threads);
  ~TokenizerPool();  // as Shutdown

  void Submit(int64_t bytes, Job job);

  void Drain();     // refuses new jobs, finishes those submitted, joins
  void Shutdown();  // refuses new jobs and those waiting, finishes those running, joins
  int64_t num_waiting() const;

 private:
  struct Entry {
    int64_t bytes = 0;
    Job job;
  };
  void Run();
};

}  // namespace longspan
