// TokenizerPool: a few threads for the work before the queue: tokenising, truncation, mapping of
// ranges. Asleep when idle. Bounded by admission: whoever submits holds a permit. Large texts may
// occupy all threads but one, so that short ones never wait behind them (with one thread they do);
// otherwise first come, first served.
//
// Memory: the tokenizer takes up to 150 bytes a byte of a text that cannot be cut
// (core/tokenizer/text_chunks.h). So large texts run beside one another only up to
// max_running_bytes together; a larger one runs without other large ones. With 8 MiB the tokenizers
// take at most about 1.2 GiB, however many threads and texts there are.
//
// Thread safety: all methods may be called from any thread, Drain and Shutdown not from a job.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

class TokenizerPool {
 public:
  // Called once: with OK on a pool thread, or with UNAVAILABLE (on any thread) where the pool was
  // shut down before its turn came.
  using Job = absl::AnyInvocable<void(const absl::Status& status)>;

  explicit TokenizerPool(int num_threads, int64_t max_running_bytes = int64_t{8} << 20);
  ~TokenizerPool();  // as Shutdown

  // `bytes`: size of the text, for the order of large and small ones.
  void Submit(int64_t bytes, Job job);

  void Drain();     // refuses new jobs, finishes those submitted, joins
  void Shutdown();  // refuses new jobs and those waiting, finishes those running, joins
  int64_t num_waiting() const;

  static constexpr int64_t kLargeBytes = 64 << 10;

 private:
  struct Entry {
    int64_t number = 0;  // order of arrival
    int64_t bytes = 0;
    Job job;
  };
  void Run();
  bool LargeMayStartLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool CanTakeLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Entry TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountLocked(int64_t bytes, int sign) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Stop(bool run_waiting);

  const int max_running_large_;
  const int64_t max_running_bytes_;

  mutable absl::Mutex mu_;
  std::deque<Entry> small_ ABSL_GUARDED_BY(mu_);
  std::deque<Entry> large_ ABSL_GUARDED_BY(mu_);
  int64_t next_number_ ABSL_GUARDED_BY(mu_) = 0;
  int running_large_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t running_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of the large ones
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  absl::Mutex join_mu_;  // the one who stops the pool joins its threads
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace longspan
