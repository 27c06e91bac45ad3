// EncoderWorker: the thread of one replica. It takes batches from the scheduler, encodes them, and
// hands each text its answer.
//
//   Seams            The encoder calls the worker back at each seam of a pass
//                    (EncodeControl::at_seam). There a text that is cancelled or past its deadline
//                    is answered at once, and the encoder drops it from the pass. Waiting short
//                    texts may run at the seams of a long pass (WorkerOptions::preempt), as far as
//                    the share of their lane goes, or in the same lane that of their client.
//   Threads          Each pass computes with the threads that the scheduler gives it, and at its
//                    seams it may get more (core_shares.h).
//   Out of memory    What failed is run again in halves; a text that fails alone is named, with
//                    what it takes. The encoder has freed its device's pool by then.
//   Exceptions       Nothing that the encode function throws escapes: it becomes INTERNAL for the
//                    texts of that batch.
//   Lost device      kDeviceLost ends all computing: INTERNAL for that batch, and UNAVAILABLE for
//                    every later one, which another server can take.
//
// Ends when the scheduler has no more work (Drain or Shutdown). The destructor joins the thread, so
// call one of them first.
//
// Thread safety: heartbeat, Look and FailRunning may be called from any thread. Proven by
// encoder_worker_test.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/encoder.h"
#include "core/token_batch.h"
#include "server/batching/batch_observer.h"
#include "server/batching/batch_scheduler.h"
#include "server/batching/clock.h"
#include "server/engine/shared_device.h"

namespace longspan {

// Encoder::Encode, or a fake.
using EncodeFunction = std::function<std::vector<absl::StatusOr<EncodedText>>(
    const TokenBatch& batch, std::span<const EncodeOptions> options, const EncodeControl& control)>;

struct WorkerOptions {
  bool preempt = true;  // lets waiting short texts run at the seams of longer passes
  // The CPU time that the worker's thread has used, asked from other threads. Empty = the system's.
  std::function<absl::Duration()> cpu_time = {};
  // The predicted bytes of a pass over one text alone, for the error of one that does not fit;
  // empty = not known.
  std::function<int64_t(const TextShape& text)> piece_bytes = {};
  // Passes take memory that other processes may take too (a card): what does not fit alone may fit
  // later, whatever this process computes.
  bool shares_memory = false;
  // Shared by the workers of one device whose passes stand in one queue; null = a pass has its
  // device to itself.
  std::shared_ptr<SharedDevice> device = nullptr;

  // For passes on a card. A thread that waits for a card may spin, and then its CPU time says
  // nothing: seams alone are signs of life.
  static absl::Duration NoCpuTime() { return absl::ZeroDuration(); }
};

class EncoderWorker {
 public:
  // `observer` may be null. All pointers must outlive the worker.
  EncoderWorker(EncodeFunction encode, BatchScheduler* scheduler, BatchObserver* observer,
                const Clock* clock, WorkerOptions options = {});
  ~EncoderWorker();

  // What the watchdog looks at: a thread that neither reaches a seam nor uses the processor waits
  // for a device or a lock that never answers; one that computes is busy.
  struct Heartbeat {
    bool busy = false;
    bool device_lost = false;
    std::string device_error;  // what the device said as it was lost
    absl::Time since;          // start of the running batch, or when the worker became idle
    absl::Time last_sign;      // when the pass was at its latest seam; not before `since`
    // When Look last found that the thread had used CPU time.
    absl::Time last_used_cpu = absl::InfinitePast();
    double predicted_seconds = 0;  // of the running batch and of those that ran at its seams
  };
  Heartbeat heartbeat() const;
  // The heartbeat, after a look at the CPU time of the thread. For the watchdog, once a second.
  Heartbeat Look();

  // Answers every text of the running batches with `status`, without waiting for the batches: they
  // may hang. Any thread.
  void FailRunning(const absl::Status& status);

 private:
  struct Pass;  // a running batch
  void Run();
  void RunBatch(const PackedBatch& batch);
  void EncodePieces(Pass& pass, std::span<const QueuedPiece> pieces);
  std::vector<absl::StatusOr<EncodedText>> CallEncode(Pass& pass,
                                                      std::span<const QueuedPiece> pieces);
  // Notes that the device is lost; the answer of the texts of that pass.
  absl::Status LoseDevice(const absl::Status& cause);
  int64_t BytesOf(const QueuedPiece& piece) const;  // WorkerOptions::piece_bytes; 0 = not known
  // The seam of a pass over `pieces`: lets short texts run, then answers the abandoned texts.
  void AtSeam(Pass& pass, std::span<const QueuedPiece> pieces);
  void BeatHeartbeat(absl::Time now);
  void LetShortTextsRun(Pass& pass, absl::Time now);
  void BeginHeartbeat(absl::Time now, const PackedBatch& batch);
  void EndHeartbeat(absl::Time now, const PackedBatch* batch);

  // Constant after construction.
  const EncodeFunction encode_;
  BatchScheduler* const scheduler_;
  BatchObserver* const observer_;
  const Clock* const clock_;
  const WorkerOptions options_;
  std::function<absl::Duration()> cpu_time_;  // set before the constructor returns

  // Used by the worker's thread only.
  int depth_ = 0;    // batches that are running: one, and those at its seams
  int threads_ = 0;  // of the running pass; 0 = ComputeThreads()

  mutable absl::Mutex mu_;
  Heartbeat heartbeat_ ABSL_GUARDED_BY(mu_);
  absl::Duration cpu_seen_ ABSL_GUARDED_BY(mu_);  // when Look last found that more was used
  // The running batch, and behind it those that run at its seams.
  std::vector<const PackedBatch*> running_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace longspan
