// TaskTimer: where the time of one task goes, and which stage the task is in. The task and the
// worker mark the stages as they begin and end. A call that ends before its task does (its caller
// went away, its deadline passed) reads the timer at that moment, so that log and metrics tell the
// stage that the task had really reached.
//
//   auto timer = std::make_shared<TaskTimer>(clock, arrival);
//   timer->BeginPreparation(); ... timer->EndPreparation(); ... timer->BeginCompute(batch);
//   StageTimings so_far = timer->Read();
//
// Shared by the task and its call. Thread safety: all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/clock.h"

namespace longspan {

// Where a task is, in the order in which a task goes through them; in StageTimings, where it ended.
// The label of expired_total{stage} and cancelled_total{stage}.
enum class Stage {
  kReceive,         // no task yet: the request is being read, decoded, admitted
  kAwaitTokenizer,  // waits for a tokenizer thread
  kTokenize,        // a tokenizer thread works on it
  kQueue,           // waits for a worker
  kCompute,         // in a forward pass
  kSend,            // computed; the answer waits to be taken
};
inline constexpr size_t kNumStages = static_cast<size_t>(Stage::kSend) + 1;
// "receive", "await_tokenizer", "tokenize", "queue", "compute", "send".
std::string_view StageName(Stage stage);

// Where the time of one task went; tokenize + queue + compute = total.
struct StageTimings {
  absl::Duration tokenize;  // tokenising, truncation, mapping of characters to tokens
  absl::Duration queue;     // waiting, before the tokenizer and before the worker
  // From the first batch's start to the last batch's end, less the waiting between them.
  absl::Duration compute;
  absl::Duration total;           // from arrival to `done`
  int32_t batch_pieces = 0;       // of the last batch that the task ran in; 0 = it never ran
  int64_t batch_tokens = 0;       // of the last batch that the task ran in
  Stage stage = Stage::kReceive;  // the last stage that the task reached
};

// A batch that a task runs in.
struct BatchShape {
  absl::Time start;  // of the batch's computation
  int32_t pieces = 0;
  int64_t tokens = 0;
};

class TaskTimer {
 public:
  TaskTimer(const Clock* clock, absl::Time arrival) : clock_(clock), arrival_(arrival) {}

  absl::Time arrival() const { return arrival_; }

  void BeginPreparation();
  void EndPreparation();
  // One piece of the task runs in the batch. Pieces may run in several batches at once.
  void BeginCompute(const BatchShape& batch);
  void EndCompute(const BatchShape& batch);
  // The task has ended: later calls of all methods change nothing. The stage becomes kSend where it
  // has an answer. Returns the final timings, with the stage that the task ended in.
  StageTimings End(bool answered);

  // The timings up to now; those of End where the task has ended.
  StageTimings Read() const;
  bool ended() const;

 private:
  StageTimings MeasureLocked(absl::Time now) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void NoteBatchLocked(const BatchShape& batch, absl::Time end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock* const clock_;
  const absl::Time arrival_;

  mutable absl::Mutex mu_;
  StageTimings timings_ ABSL_GUARDED_BY(mu_) = {.stage = Stage::kAwaitTokenizer};
  absl::Time preparation_begin_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  // timings_.compute covers the batches up to here.
  absl::Time counted_until_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  int running_pieces_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
