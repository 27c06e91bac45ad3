// BatchScheduler: the queue between tokenizer and workers. Submit takes prepared tasks; NextBatch
// gives a worker the next packed batch, closed by predicted seconds and tokens, never by rows.
//
//   A worker that finds the queue not empty gets a batch at once: a lone text starts immediately, and under load batches form
//   by themselves while the workers are busy. With batch_timeout > 0 a batch below the budget waits for company until the
//   oldest of its lane is that old.
//   A text above the budget runs alone. Lanes and clients share predicted seconds (lanes.h). Where idle workers share the
//   queue, one takes no more than its part.
//   Texts that are cancelled or past their deadline are completed here, before they cost compute, also while all workers are busy
//   (Reap).
//
// Every accepted task completes: by a worker, by expiry, or by Shutdown (UNAVAILABLE).
// Thread safety: all methods may be called from any thread. `done` callbacks run without a lock
// held.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/clock.h"
#include "server/batching/encode_task.h"
#include "server/batching/lanes.h"

namespace longspan {

// Predicted cost; both functions are thread safe (CostModel's methods of the same names).
struct BatchCost {
  std::function<double(int64_t num_tokens)> text_seconds;                 // marginal, of one text
  std::function<double(std::span<const int64_t> lengths)> batch_seconds;  // of a whole batch
};

struct BatchSchedulerOptions {
  int64_t max_batch_tokens = 16384;  // --max-batch-tokens; counts padded tokens
  double max_batch_seconds = 0;      // predicted; 0 = what max_batch_tokens cost as texts of 512
  absl::Duration batch_timeout = absl::ZeroDuration();  // --batch-timeout
  int64_t length_multiple = 1;  // above 1 (Reformer, BigBird) a batch holds one padded length only
  LaneOptions lanes;
};

// What a worker computes in one pass.
struct PackedBatch {
  std::vector<QueuedPiece> pieces;
  Lane lane = Lane::kShort;
  int64_t tokens = 0;
  int64_t padded_tokens = 0;
  double predicted_seconds = 0;
};

class BatchScheduler {
 public:
  BatchScheduler(const BatchSchedulerOptions& options, BatchCost cost, const Clock* clock);
  ~BatchScheduler();  // as Shutdown

  // Queues all pieces of a prepared task. After Drain or Shutdown the task completes with
  // UNAVAILABLE.
  void Submit(const std::shared_ptr<EncodeTask>& task);

  // Waits for work. nullopt = no more work will come (drained and empty, or shut down): the worker
  // ends.
  std::optional<PackedBatch> NextBatch();
  // Work of lanes below `lane` that may run now, without waiting: how a worker lets short texts
  // pass between the layers of a long one. Charged to the lanes like any batch, so the long lane
  // keeps its share.
  std::optional<PackedBatch> TryNextBatchBefore(Lane lane);

  // Wakes the reaper: somebody cancelled.
  void NotifyCancelled();
  // One step of the reaper: waits until a queued task is due to expire or somebody cancelled,
  // completes those; false = shut down.
  bool Reap();

  // No task is accepted any more; NextBatch goes on until the queue is empty.
  void Drain();
  // Completes everything queued with UNAVAILABLE and ends NextBatch and Reap.
  void Shutdown();

  struct Depth {
    int64_t texts = 0;
    int64_t tokens = 0;
    double predicted_seconds = 0;
    absl::Duration oldest;  // age of the oldest text in the queue
    std::array<int64_t, kNumLanes> lane_texts = {};
  };
  Depth depth() const;

  const BatchSchedulerOptions& options() const { return options_; }

 private:
  double MaxBatchSeconds() const;
  QueuedPiece MakePiece(const std::shared_ptr<EncodeTask>& task, int32_t index,
                        absl::Time now) const;
  bool IsRipeLocked(Lane lane, absl::Time now) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Time NextRipeTimeLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // The lane to serve, after waiting for one; nullopt = no more work will come.
  std::optional<Lane> AwaitLaneLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The next batch of a lane; texts found abandoned on the way go to `abandoned`. May come out
  // empty.
  PackedBatch TakeBatchLocked(Lane lane, std::vector<QueuedPiece>* abandoned)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FillBatchLocked(PackedBatch* batch, std::vector<QueuedPiece>* abandoned)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SweepLocked(std::vector<QueuedPiece>* abandoned) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  PackedBatch Predict(PackedBatch batch) const;

  // constant after construction
  const BatchSchedulerOptions options_;
  const BatchCost cost_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  Lanes lanes_ ABSL_GUARDED_BY(mu_);
  int idle_workers_ ABSL_GUARDED_BY(mu_) = 0;  // waiting in NextBatch
  int64_t changes_ ABSL_GUARDED_BY(mu_) = 0;   // counts what may end a wait of NextBatch
  absl::Time earliest_deadline_ ABSL_GUARDED_BY(mu_) =
      absl::InfiniteFuture();                    // of the queue; may be of a text already taken
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;  // NotifyCancelled since the last sweep
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
