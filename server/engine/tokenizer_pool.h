// TokenizerPool: a few threads for the work before the queue: tokenising, truncation, mapping of
// characters to tokens; and for reading large requests and making large answers
// (server/rpc/message_threads.h). They sleep when there is nothing to do. The pool has no limit of
// its own: whoever submits holds an admission permit or the room of the answer, or is counted by
// OpenCalls.
//
// Large texts may occupy all threads but one, so that small ones never wait behind them (with one
// thread they do). Among the small ones, and among the large ones, clients share the bytes
// (fair_queue.h); between the two whose turn it is, the one that came first goes first.
//
// Memory: the tokenizer takes up to 600 bytes per byte of what it reads in one piece, a text or a
// part of at most 1 MiB of one that can be cut (core/tokenizer/text_chunks.h). So large texts run
// beside one another only up to max_running_bytes together; a larger one runs without other large
// ones. With 2 MiB the tokenizers take at most about 1.2 GiB, however many threads and texts there
// are, and half of that with the two threads of the default.
//
// Proven by tokenizer_pool_test. Thread safety: all methods may be called from any thread, but
// Drain and Shutdown not from a job.
#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/fair_queue.h"

namespace longspan {

class TokenizerPool {
 public:
  // Called once: with OK on a pool thread, or with UNAVAILABLE (on any thread) where the pool was
  // shut down before its turn came.
  using Job = absl::AnyInvocable<void(const absl::Status& status)>;

  // The longest text that counts as small. A small text needs at most 64 KiB x 600 = 38 MiB, so
  // small ones need not be counted against max_running_bytes. 64 KiB are about 18,000 tokens, well
  // inside the bulk lane (lanes.h): what the lanes call short and long is small here.
  static constexpr int64_t kLargeBytes = 64 << 10;

  explicit TokenizerPool(int num_threads, int64_t max_running_bytes = int64_t{2} << 20);
  ~TokenizerPool();  // calls Shutdown

  // `client`: who sent it. `bytes`: size of the text and of its spans, which tells large ones from
  // small ones. `call_bytes`: of all texts of the call, by which small calls of a client go before
  // its large ones; at least `bytes`.
  void Submit(const std::string& client, int64_t bytes, Job job, int64_t call_bytes = 0);

  void Drain();     // refuses new jobs, finishes those submitted, joins
  void Shutdown();  // refuses new jobs and those waiting, finishes those running, joins

 private:
  struct Entry {
    int64_t number = 0;  // order of arrival
    int64_t bytes = 0;
    Job job;
  };
  using Jobs = FairQueue<Entry>;

  void Run();
  bool LargeMayStartLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool CanTakeLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Entry TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Counts a text as running (+1) or done (-1), where it is large.
  void CountLocked(int64_t bytes, int sign) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Stop(bool run_waiting);

  const int max_running_large_;
  const int64_t max_running_bytes_;

  absl::Mutex mu_;
  Jobs small_ ABSL_GUARDED_BY(mu_);
  Jobs large_ ABSL_GUARDED_BY(mu_);
  int64_t next_number_ ABSL_GUARDED_BY(mu_) = 0;
  int running_large_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t running_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of the large texts
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  absl::Mutex join_mu_;  // whoever comes first joins the threads
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace longspan
