// LaneQueue: the waiting pieces of one lane, and whose turn it is among the clients that sent them.
// Plain bookkeeping over predicted seconds, without a clock, so that fairness is tested alone.
//
// Each client has a virtual time, which grows by the predicted seconds of its pieces as they are
// taken; the waiting client with the smallest virtual time goes next (start-time fair queueing with
// equal weights; lanes.h shares between the lanes by the same rule). Inside a client it is first
// come, first served.
//
// A client that had nothing waiting comes back at the virtual time of those that had: idle time is
// not saved up. Its own virtual time is kept while it is ahead of theirs, so that sending texts one
// at a time wins nothing.
//
// Cost: O(log clients) per piece taken; TakePadded and RemoveIf look at more pieces. Proven by
// lane_queue_test. Thread safety: none; the scheduler's mutex guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/text_shape.h"

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
  absl::Time queued;          // when it came into the queue
  bool abandoned = false;     // set when taken: nobody waits for it, and nobody was charged for it
};

// Whether nobody waits for a piece any more; asked as it is taken.
using IsAbandoned = std::function<bool(const QueuedPiece& piece)>;

class LaneQueue {
 public:
  explicit LaneQueue(IsAbandoned is_abandoned) : is_abandoned_(std::move(is_abandoned)) {}

  void Push(QueuedPiece piece, const std::string& client);

  bool empty() const { return pieces_ == 0; }
  int64_t pieces() const { return pieces_; }   // that wait
  int64_t tokens() const { return tokens_; }   // of the waiting pieces
  double seconds() const { return seconds_; }  // predicted, of the waiting pieces
  // When the oldest waiting piece came; InfiniteFuture where none waits.
  absl::Time oldest() const {
    return arrivals_.empty() ? absl::InfiniteFuture() : *arrivals_.begin();
  }

  // Next and Take need a lane that is not empty.
  const QueuedPiece& Next() const;  // the piece that Take would take
  QueuedPiece Take();

  // Takes a piece of this padded length only: the first such piece of the clients, in the order of
  // their turns. Looks at most kLookAhead pieces deep into each client's queue.
  std::optional<QueuedPiece> TakePadded(int64_t padded_tokens);

  // Moves all pieces for which `condition` holds to `removed`; nobody is charged for them.
  void RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                std::vector<QueuedPiece>* removed);

 private:
  // Deep enough to fill a batch with one length out of a mix of them, and short enough to be looked
  // through while the scheduler's mutex is held.
  static constexpr size_t kLookAhead = 64;

  struct Client {
    std::deque<QueuedPiece> queue;
    double virtual_time = 0;  // seconds
  };
  using Turns = std::set<std::pair<double, std::string>>;  // virtual time, client

  double Now() const;
  QueuedPiece TakeFrom(Turns::const_iterator turn, size_t index);
  void Forget(const QueuedPiece& piece);
  void DropIdleClients();

  const IsAbandoned is_abandoned_;

  std::map<std::string, Client> clients_;  // by name
  Turns turns_;                            // clients with waiting pieces
  std::multiset<absl::Time> arrivals_;     // of the waiting pieces
  double virtual_time_ = 0;                // at which the last piece was taken
  size_t taken_since_drop_ = 0;            // pieces taken since DropIdleClients last looked
  int64_t pieces_ = 0;
  int64_t tokens_ = 0;
  double seconds_ = 0;
};

}  // namespace longspan
