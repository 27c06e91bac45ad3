// Lanes: the waiting texts of the scheduler, by length, and the choice of who is next. No lock and
// no clock of its own: plain bookkeeping over predicted seconds, so that fairness is tested alone.
//
// Between lanes: each lane has a weight; its virtual time grows by seconds / weight as its texts
// are taken, and the waiting lane with the smallest virtual time goes next (start-time fair
// queueing, Goyal, Vin and Cheng 1996, section 2: the shares of deficit round robin without its
// rounds). A waiting lane also ages: each second that its oldest text has waited takes `ageing`
// seconds off its virtual time, so that the wait of a lane of small weight is bounded and in the
// long run the shares still hold. Inside a lane the same rule runs among clients with equal
// weights; first come, first served inside a client.
//
//   weights 3 : 1, every text costs 1 s, both lanes full; virtual times before each choice, A first on a tie:
//   A 0 B 0 -> A | 1/3 0 -> B | 1/3 1 -> A | 2/3 1 -> A | 1 1 -> A | 4/3 1 -> B ...     three of A for one of B
//
// A lane or client that was away comes back at the virtual time of those who stayed: idle time is
// not saved up. A client's virtual time is kept while it is ahead of the others, so that sending
// texts one at a time wins nothing. Cost: O(log clients) per text taken; TakePadded and RemoveIf
// look at more. Proven by lanes_test.
// Thread safety: none; the scheduler's mutex guards it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace longspan {

class EncodeTask;

enum class Lane : int { kShort = 0, kLong = 1, kBulk = 2 };
inline constexpr int kNumLanes = 3;
std::string_view LaneName(Lane lane);  // "short", "long", "bulk"

struct LaneOptions {
  int64_t short_up_to = 512;  // tokens; longest text of the short lane
  int64_t long_up_to = 8192;  // tokens; above is bulk
  std::array<double, kNumLanes> weights = {
      8, 3, 1};         // shares of predicted seconds while all lanes wait, > 0
  double ageing = 0.1;  // seconds of virtual time per second waited, >= 0
};

Lane LaneOf(int64_t num_tokens, const LaneOptions& options);

// One piece of a task in the queue.
struct QueuedPiece {
  std::shared_ptr<EncodeTask> task;
  int32_t piece = 0;
  int64_t tokens = 0;
  int64_t padded_tokens = 0;  // rounded up to the model's length_multiple
  double seconds = 0;         // predicted, marginal
  absl::Time queued;
  bool abandoned = false;  // set when taken: nobody waits for it any more, and it was not charged
};

// Whether nobody waits for a text any more; asked as it is taken.
using IsAbandoned = std::function<bool(const QueuedPiece& piece)>;

// One lane: its clients' queues.
class LaneQueue {
 public:
  explicit LaneQueue(IsAbandoned is_abandoned) : is_abandoned_(std::move(is_abandoned)) {}

  void Push(QueuedPiece piece, const std::string& client);
  bool empty() const { return texts_ == 0; }
  int64_t texts() const { return texts_; }
  int64_t tokens() const { return tokens_; }
  double seconds() const { return seconds_; }
  // When the oldest waiting text came; InfiniteFuture where none waits.
  absl::Time oldest() const {
    return arrivals_.empty() ? absl::InfiniteFuture() : *arrivals_.begin();
  }

  const QueuedPiece& Next() const;  // the text that Take would take; the lane is not empty
  QueuedPiece Take();
  // As Take, among texts of one padded length: the first such text of the clients in their order,
  // at most kLookAhead texts deep.
  std::optional<QueuedPiece> TakePadded(int64_t padded_tokens);
  void RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                std::vector<QueuedPiece>* removed);

 private:
  static constexpr size_t kLookAhead = 64;

  struct Client {
    std::deque<QueuedPiece> queue;
    double virtual_time = 0;  // predicted seconds served, in the lane's time
  };
  using Turns = std::set<std::pair<double, std::string>>;  // virtual time, client

  double Now() const;
  QueuedPiece TakeFrom(Turns::const_iterator turn, size_t index);
  void Forget(const QueuedPiece& piece);
  void DropIdleClients();

  const IsAbandoned is_abandoned_;
  std::map<std::string, Client> clients_;
  Turns turns_;  // clients with waiting texts
  std::multiset<absl::Time> arrivals_;
  double virtual_time_ = 0;      // when the last text was taken
  size_t taken_since_drop_ = 0;  // since idle clients were dropped
  int64_t texts_ = 0;
  int64_t tokens_ = 0;
  double seconds_ = 0;
};

class Lanes {
 public:
  Lanes(const LaneOptions& options, const IsAbandoned& is_abandoned);

  void Push(Lane lane, QueuedPiece piece, const std::string& client);
  // The lane to serve at `now` among those for which `eligible` holds; nullopt = none.
  std::optional<Lane> NextLane(absl::Time now, const std::function<bool(Lane)>& eligible) const;
  // The lane of shorter texts that may run between the layers of a text of `running`, whose cost is
  // charged already: one whose share is not used up.
  std::optional<Lane> NextLaneBefore(absl::Time now, Lane running) const;
  bool empty() const;
  const LaneQueue& operator[](Lane lane) const { return queues_[static_cast<int>(lane)]; }

  QueuedPiece Take(Lane lane);
  std::optional<QueuedPiece> TakePadded(Lane lane, int64_t padded_tokens);
  void RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                std::vector<QueuedPiece>* removed);

 private:
  double Now() const;
  double AgedTime(int index, absl::Time now) const;
  void Charge(Lane lane, const QueuedPiece& piece);

  const LaneOptions options_;
  std::array<LaneQueue, kNumLanes> queues_;
  std::array<double, kNumLanes> virtual_times_ = {};
  double virtual_time_ = 0;  // when the last text was taken
};

}  // namespace longspan
