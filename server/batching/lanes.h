// Lanes: the waiting pieces of the scheduler, by length, and the choice of the lane that is next.
// Plain bookkeeping over predicted seconds; the time is handed in, so that fairness is tested
// alone.
//
// Each lane has a weight and a virtual time, which grows by seconds / weight as its pieces are
// taken. The waiting lane with the smallest virtual time goes next: start-time fair queueing
// (Goyal, Vin and Cheng 1996, section 2), which gives the shares of deficit round robin without its
// rounds.
//
//   Example: two lanes A and B of weights 3 and 1, both full. Every piece costs 1 s, and A goes
//   first on a tie. The virtual times before each choice, and the choice:
//     A       0    1/3  1/3  2/3  1    4/3
//     B       0    0    1    1    1    1
//     choice  A    B    A    A    A    B    and so on: three pieces of A for one of B
//
// A waiting lane also ages: each second that its oldest piece has waited takes `ageing` seconds off
// its virtual time. So the wait of a lane of small weight is bounded, and in the long run the
// shares still hold.
//
// A lane that was empty comes back at the virtual time of those that were not: idle time is not
// saved up. Inside a lane the same rule holds among clients (lane_queue.h).
//
// Proven by lanes_test. Thread safety: none; the scheduler's mutex guards it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "proto/longspan/v1/length_classes.h"
#include "server/batching/lane_queue.h"

namespace longspan {

enum class Lane : int { kShort = 0, kLong = 1, kBulk = 2 };
inline constexpr int kNumLanes = 3;
std::string_view LaneName(Lane lane);  // "short", "long", "bulk"

struct LaneOptions {
  // Longest piece of the short and of the long lane, in tokens; what is longer is bulk. Both are
  // bounds of the scale of length classes, so that metrics and `longspan bench` show the lanes
  // apart. 512 tokens are a passage, what encoders with dense attention usually take whole. 8,192
  // are a long article or a contract, what encoders made for long texts usually take whole. Above
  // are books.
  int64_t short_up_to = kLengthClassBounds[1];
  int64_t long_up_to = kLengthClassBounds[3];

  // Shares of the predicted seconds while all lanes wait, > 0. Short texts then get 8/12 of the
  // computing time, long ones 3/12 and bulk 1/12: short ones take about 1.5 times as long as on a
  // machine of their own, bulk about 12 times.
  std::array<double, kNumLanes> weights = {8, 3, 1};

  // Seconds of virtual time per second waited, >= 0. With 0.1 a lane whose turn is one second of
  // virtual time away gets it after about ten seconds, however small its weight is.
  double ageing = 0.1;
};
static_assert(kLengthClassBounds[1] == 512 && kLengthClassBounds[3] == 8192,
              "a change of the scale of length classes must not move the lanes unseen");

Lane LaneOf(int64_t num_tokens, const LaneOptions& options);

class Lanes {
 public:
  Lanes(const LaneOptions& options, const IsAbandoned& is_abandoned);

  void Push(Lane lane, QueuedPiece piece, const std::string& client);

  // The lane to serve at `now` among those for which `eligible` holds; nullopt = none.
  std::optional<Lane> NextLane(absl::Time now, const std::function<bool(Lane)>& eligible) const;
  // The lane of shorter pieces that may run at the seams of a pass of lane `running`: one that has
  // not used up its share, where the cost of that pass counts as charged. nullopt = none.
  std::optional<Lane> NextLaneBefore(absl::Time now, Lane running) const;

  const LaneQueue& operator[](Lane lane) const { return queues_[static_cast<int>(lane)]; }

  // Like the methods of LaneQueue; the lane is charged for what is taken.
  QueuedPiece Take(Lane lane);
  QueuedPiece TakeMore(Lane lane);
  std::optional<QueuedPiece> TakePadded(Lane lane, int64_t padded_tokens);
  std::optional<QueuedPiece> TakeFitting(Lane lane,
                                         const std::function<bool(const QueuedPiece&)>& fits);
  void RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                std::vector<QueuedPiece>* removed);

 private:
  double Now() const;
  double AgedTime(int index, absl::Time now) const;
  void Charge(Lane lane, const QueuedPiece& piece);

  const LaneOptions options_;
  std::array<LaneQueue, kNumLanes> queues_;
  std::array<double, kNumLanes> virtual_times_ = {};
  double virtual_time_ = 0;  // at which the last piece was taken
};

}  // namespace longspan
