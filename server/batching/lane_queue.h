// LaneQueue: the waiting pieces of one lane, and whose turn it is among the clients that sent them,
// by predicted seconds (fair_queue.h; lanes.h shares between the lanes by the same rule). The unit
// of service is a pass. Plain bookkeeping without a clock, so that fairness is tested alone.
//
// Cost: O(log clients) per piece taken; TakePadded, TakeFitting and RemoveIf look at more pieces.
// Proven by lane_queue_test. Thread safety: none; the scheduler's mutex guards it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/text_shape.h"
#include "server/batching/fair_queue.h"

namespace longspan {

class EncodeTask;

// One piece of a task in the queue.
struct QueuedPiece {
  std::shared_ptr<EncodeTask> task;
  int32_t piece = 0;          // index into the task's PreparedText::pieces
  TextShape shape;            // what its price follows from
  int64_t tokens = 0;         // its length
  int64_t padded_tokens = 0;  // its length, rounded up to the model's length_multiple
  double seconds = 0;         // predicted, of this piece in a batch (BatchCost::text_seconds)
  double call_seconds = 0;    // predicted, of the whole call (CallSize); 0 = not known
  absl::Time queued;          // when it came into the queue
  bool abandoned = false;     // set when taken: nobody waits for it, and nobody was charged for it
};

// Whether nobody waits for a piece any more; asked as it is taken.
using IsAbandoned = std::function<bool(const QueuedPiece& piece)>;

class LaneQueue {
 public:
  explicit LaneQueue(IsAbandoned is_abandoned);
  LaneQueue(const LaneQueue&) = delete;
  LaneQueue& operator=(const LaneQueue&) = delete;

  void Push(QueuedPiece piece, const std::string& client);

  bool empty() const { return pieces_ == 0; }
  int64_t pieces() const { return pieces_; }   // that wait
  int64_t tokens() const { return tokens_; }   // of the waiting pieces
  double seconds() const { return seconds_; }  // predicted, of the waiting pieces
  // When the oldest waiting piece came; InfiniteFuture where none waits.
  absl::Time oldest() const {
    return arrivals_.empty() ? absl::InfiniteFuture() : *arrivals_.begin();
  }

  // Whether a client other than this one has pieces here.
  bool OthersWait(const std::string& client) const { return queue_.OthersWait(client); }
  // The virtual time of a client, and of the one that has had most, in seconds.
  double TimeOf(const std::string& client) const { return queue_.TimeOf(client); }
  double HighestTime() const { return queue_.HighestTime(); }

  // Next, Take and TakeMore need a lane that is not empty.
  const QueuedPiece& Next() const { return queue_.Next(); }  // the piece that Take would take
  QueuedPiece Take();                                        // the first piece of a pass
  QueuedPiece TakeMore();                                    // a further piece of that pass

  // Takes a further piece of this padded length only: the first such piece of the clients, in the
  // order of their turns. Looks at most kLookAhead pieces deep into each client's queue.
  std::optional<QueuedPiece> TakePadded(int64_t padded_tokens);

  // Takes, while a pass runs, the first piece that `fits`, in the order of the clients' turns.
  // Looks at the first piece of at most kLookAhead clients.
  std::optional<QueuedPiece> TakeFitting(const std::function<bool(const QueuedPiece&)>& fits);

  // Moves all pieces for which `condition` holds to `removed`; nobody is charged for them.
  void RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                std::vector<QueuedPiece>* removed);

 private:
  using Queue = FairQueue<QueuedPiece>;

  // Deep enough to fill a batch with one length out of a mix of them, and short enough to be looked
  // through while the scheduler's mutex is held.
  static constexpr size_t kLookAhead = 64;

  void Forget(const QueuedPiece& piece);

  Queue queue_;
  const Queue::Cost take_;  // what becomes of each piece that is taken, and what it costs

  std::multiset<absl::Time> arrivals_;  // of the waiting pieces
  int64_t pieces_ = 0;
  int64_t tokens_ = 0;
  double seconds_ = 0;
};

}  // namespace longspan
