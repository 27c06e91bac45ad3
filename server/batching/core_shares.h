// CoreShares: how many threads each pass computes with, so that compute teams follow the load.
//
//   One text        has all cores: it is answered soonest.
//   A backlog       has one narrow pass for each worker, with a batch of its own. Threads that
//                   share a pass wait for each other at every product, and for each core that a
//                   tokenizer or a call has just taken; passes of their own do not.
//   What is left    A pass that has been alone for a while gets the cores of those that ended.
//
// Example, 4 workers of 2 threads each on 8 cores. A lone text gets 8 threads. When it ends, 3
// texts wait: three passes of 8 / 3, so 2 threads, begin. Two of them end and nothing comes: at its
// next seam the last one goes on with 8.
//
// Where the operator has set --replicas or --threads, the teams are fixed: every pass has
// CoreOptions::threads, and nothing is ever refused here.
//
// Plain bookkeeping; the time is handed in. Thread safety: none; the scheduler's mutex guards it.
// Proven by core_shares_test.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace longspan {

struct CoreOptions {
  int workers = 1;  // passes that may run at once
  int threads = 1;  // of each pass while all workers have one
  bool follow_load = false;
  int cores() const { return workers * threads; }
  // The part of the cores that a pass of so many threads has; 1 where teams are fixed.
  double Part(int of_threads) const {
    return follow_load ? static_cast<double>(of_threads) / cores() : 1;
  }
};

class CoreShares {
 public:
  explicit CoreShares(const CoreOptions& options) : options_(options), free_(options.cores()) {}

  // Whether a pass may begin now.
  bool CanBegin() const { return !options_.follow_load || free_ >= options_.threads; }
  // Whether a pass with all cores may begin now.
  bool AllFree() const { return !options_.follow_load || running_ == 0; }
  // How many of so many workers could begin a pass now.
  int CouldBegin(int workers) const;

  // The threads of a pass that begins now: the part of the free cores that is left for it where
  // each of the `waiting` texts (this one included) has a pass, as far as there are idle workers
  // beside this one. CanBegin must hold.
  int Begin(int64_t waiting, int idle);
  // The threads of a pass that takes all cores. AllFree must hold.
  int BeginWithAll();
  // The pass of so many threads has ended.
  void End(int threads, absl::Time now);

  // The threads with which a pass goes on behind a seam, at least those that it has.
  // `work_waits`: there are texts for the free cores.
  int AtSeam(int threads, bool work_waits, absl::Time now);

  int busy() const { return busy_; }        // threads of the passes that run
  int running() const { return running_; }  // passes
  int64_t begun() const { return begun_; }  // passes so far, those that have ended included

 private:
  int Count(int threads);  // of a pass that begins

  const CoreOptions options_;
  int free_;         // cores
  int running_ = 0;  // passes
  int64_t begun_ = 0;
  int busy_ = 0;
  absl::Time quiet_since_ = absl::InfinitePast();  // no pass has ended, and no text has waited
};

}  // namespace longspan
