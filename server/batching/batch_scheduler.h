// BatchScheduler: the queue between tokenizer and workers. Submit takes prepared tasks; NextBatch
// gives a worker the next packed batch. A batch has a budget of predicted seconds and of tokens;
// its number of texts does not matter.
//
//   - A worker that finds the queue not empty gets a batch at once: a lone text starts immediately,
//     and under load batches form by themselves while the workers are busy. With batch_timeout > 0
//     a batch below the budget waits for company until the oldest piece of its lane is that old.
//   - A piece above the budget runs alone.
//   - Lanes and clients share predicted seconds (lanes.h, lane_queue.h).
//   - A client's backlog does not hold up another's short text: where texts of several clients
//     wait, a batch stays small (shared_tokens), and the pass of a larger one, which holds a long
//     text or one client's backlog, lets short texts of other clients run at its seams. Nor does a
//     large call hold up a much smaller one of the same client, which may be a proxy (CallSize).
//   - Where other workers are idle too, a worker takes no more than its part of the lane.
//   - Each pass is given a number of threads (core_shares.h). Where teams follow the load, the
//     passes that run at once share the budget of one batch, so they hold no more memory than one
//     pass with all cores. A piece that is above a narrow pass's part of it runs with all cores,
//     alone.
//   - Pieces of tasks that are cancelled or past their deadline are taken out before they cost
//     compute, and their tasks are completed, also while all workers are busy (Reap).
//
// Every accepted task completes: by a worker, by expiry, or by Shutdown (UNAVAILABLE). Proven by
// batch_scheduler_test and, with everything at random, by engine_stress_test.
//
// Thread safety: all methods may be called from any thread. `done` callbacks run without a lock
// held.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/batch_cost.h"
#include "server/batching/clock.h"
#include "server/batching/core_shares.h"
#include "server/batching/encode_task.h"
#include "server/batching/lanes.h"

namespace longspan {

// Limits of a batch; without a value there is no limit. The server's own defaults are in
// ServerOptions.
struct BatchSchedulerOptions {
  // --max-batch-tokens; padding counts.
  int64_t max_batch_tokens = std::numeric_limits<int64_t>::max();
  // Predicted seconds of a batch; 0 = those of max_batch_tokens tokens in texts of 512 tokens.
  double max_batch_seconds = 0;
  absl::Duration batch_timeout = absl::ZeroDuration();  // --batch-timeout
  // Where texts of several clients wait, a batch holds no more tokens than this, or half as many in
  // a pass with half the cores or fewer; and the pass of such a batch is not interrupted by its own
  // lane. So many rows keep the matrix products at full speed: all-MiniLM-L6-v2, texts of 128
  // tokens, 2 cores, the best of at most two runs on a busy machine: 11,264 tokens/s in batches of
  // 1,024, 11,219 in those of 16,384, and 10,213 in those of 512. Beside a small call a batch holds
  // a quarter as many of much larger ones.
  int64_t shared_tokens = 1024;
  int64_t length_multiple = 1;  // above 1 (Reformer, BigBird) a batch holds one padded length only
  LaneOptions lanes;
  CoreOptions cores;
};

// What short texts may take at the seams of a pass beside the shares of their lanes, in predicted
// seconds on all cores.
struct SeamShare {
  // In the pass's own lane, clients that have had less than those of the pass, which are charged
  // for all of it. In lanes of shorter pieces, which come here when their share is used up, clients
  // that are not the one that used most of it.
  double virtual_time = 0;
  // Of all clients, those calls that take less than this altogether.
  double call_seconds = 0;
  double largest_text = 0;  // a longer one would hold up the pass for longer than it is worth
  double seconds_left = 0;  // of all such texts together
};

// What a worker computes in one pass.
struct PackedBatch {
  std::vector<QueuedPiece> pieces;
  Lane lane = Lane::kShort;   // of all pieces
  int64_t tokens = 0;         // of all pieces
  int64_t padded_tokens = 0;  // of all pieces, with the padding that the model adds
  // Of the whole batch (BatchCost::batch_seconds), with `threads` of the cores.
  double predicted_seconds = 0;
  int threads = 0;   // of its pass; 0 = those of the pass around it (TryNextBatchBefore)
  SeamShare others;  // at the start of the pass
};

class BatchScheduler {
 public:
  BatchScheduler(const BatchSchedulerOptions& options, BatchCost cost, const Clock* clock);
  ~BatchScheduler();  // calls Shutdown

  // Queues all pieces of a prepared task. After Drain or Shutdown the task completes with
  // UNAVAILABLE.
  void Submit(const std::shared_ptr<EncodeTask>& task);

  // Waits for work, and for cores to do it on. nullopt = no more work will come (drained and empty,
  // or shut down), so the worker should end. The worker calls EndPass when it has run the batch.
  std::optional<PackedBatch> NextBatch();
  // At a seam of a pass of so many threads: the threads with which it goes on.
  int ThreadsAtSeam(int threads);
  // The pass of a batch of NextBatch has ended; `threads` are those that it had last.
  void EndPass(int threads);
  // The part of all cores that so many threads are.
  double PartOfCores(int threads) const { return options_.cores.Part(threads); }
  // A batch that may run now, at a seam of a pass of lane `running`; does not wait. It comes from
  // the lanes of shorter pieces, as far as their shares go, or else, as far as `others` goes, from
  // those or the pass's own lane. It is charged to its lane and its clients like any other, so that
  // all keep their shares.
  std::optional<PackedBatch> TryNextBatchBefore(Lane running, SeamShare* others);

  // Wakes Reap, because a task was cancelled.
  void NotifyCancelled();
  // One step of the thread QueueReaper: waits until the deadline of a queued task passes or
  // somebody cancelled, and completes the tasks that nobody waits for. False = shut down.
  bool Reap();

  // No task is accepted any more; NextBatch goes on until the queue is empty.
  void Drain();
  // Completes everything that is queued with UNAVAILABLE, and ends NextBatch and Reap.
  void Shutdown();

  // What waits in the queue.
  struct Depth {
    int64_t pieces = 0;
    int64_t tokens = 0;
    double predicted_seconds = 0;
    absl::Duration oldest;      // age of the oldest piece; 0 where none waits
    int computing_threads = 0;  // of the passes that run
    std::array<int64_t, kNumLanes> lane_pieces = {};
  };
  Depth depth() const;

  // The passes of NextBatch: those that run, and how many have begun so far. Where neither number
  // has changed and one runs, nothing else has computed in between.
  struct Passes {
    int running = 0;
    int64_t begun = 0;
    friend bool operator==(const Passes&, const Passes&) = default;
  };
  Passes passes() const;

 private:
  double MaxBatchSeconds() const;  // the budget in force
  // Predicted seconds of so many tokens, as texts of kReferenceLength.
  double SecondsOf(int64_t tokens) const;
  QueuedPiece MakePiece(const std::shared_ptr<EncodeTask>& task, int32_t index,
                        absl::Time now) const;
  // Whether a batch of the lane may begin: work waits, and either there is no batch_timeout to wait
  // for, or it is over, or the budget is full.
  bool IsRipeLocked(Lane lane, absl::Time now) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // When the first lane becomes ripe by its age alone.
  absl::Time NextRipeTimeLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // The lane to serve, after waiting for one; nullopt = no more work will come.
  std::optional<Lane> AwaitLaneLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The next batch of a lane. Pieces that turn out abandoned as they are taken go to `abandoned`,
  // so the batch may come out empty.
  PackedBatch TakeBatchLocked(Lane lane, bool own_pass, std::vector<QueuedPiece>* abandoned)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether a pass over the next piece of the lane has to wait for cores.
  bool LacksCoresLocked(Lane lane) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Whether a pass over the piece takes all cores.
  bool TakesAllCores(const QueuedPiece& piece) const;
  int64_t WaitingPiecesLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Adds pieces to a batch that has only its first one, up to the budget.
  // `idle`: other workers that could begin a pass beside this one.
  void FillBatchLocked(PackedBatch* batch, int idle, std::vector<QueuedPiece>* abandoned)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A batch of this lane for a seam of a pass that leaves `others`, of small calls and of clients
  // that have had less than `virtual_time`; empty where nothing may run there.
  PackedBatch TakeAtSeamLocked(Lane lane, double virtual_time, SeamShare* others,
                               std::vector<QueuedPiece>* abandoned)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // shared_tokens, or half as many.
  int64_t SharedTokens(const PackedBatch& batch) const;
  // What the seams of a pass over this batch have for its own lane.
  SeamShare ShareAtSeamsLocked(const PackedBatch& batch) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Takes all abandoned pieces out of the queue.
  void SweepLocked(std::vector<QueuedPiece>* abandoned) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  PackedBatch Predict(PackedBatch batch) const;  // fills in predicted_seconds

  // Constant after construction.
  const BatchSchedulerOptions options_;
  const BatchCost cost_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  Lanes lanes_ ABSL_GUARDED_BY(mu_);
  CoreShares cores_ ABSL_GUARDED_BY(mu_);
  int idle_workers_ ABSL_GUARDED_BY(mu_) = 0;  // waiting in NextBatch
  int64_t changes_ ABSL_GUARDED_BY(mu_) = 0;   // counts what may end a wait of NextBatch
  // The earliest deadline of the queued tasks. It may be that of a task whose pieces are all taken
  // by now.
  absl::Time earliest_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;  // NotifyCancelled was called since the last sweep
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
