// Lanes: the waiting texts of the scheduler, by length, and the choice of who is next. No lock, no clock, no task: plain
// bookkeeping over predicted seconds, so that fairness can be tested alone.
//
// Between lanes: each lane has a weight; a lane's virtual time grows by seconds / weight as its texts are taken, and the
// lane with the smallest virtual time goes next (start-time fair queueing, Goyal et al. 1996, section 2; the same shares as
// deficit round robin, without its rounds). A waiting lane also ages: each second that its oldest text has waited takes
// `ageing` seconds off its virtual time, so that the wait of a lane of small weight is bounded.
// Inside a lane the same rule runs among clients with equal weights, first come first served inside a client.
//
//   weights 3 : 1, all texts cost 1 s, both lanes full:  virtual times 0,0 -> A 1/3 -> B 1 -> A 2/3 -> A 1 -> A 4/3 ... AAAB
//
// Cost: O(log clients) per text. Thread safety: none, the scheduler's mutex guards it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace longspan {

class EncodeTask;

enum class Lane : int { kShort = 0, kLong = 1, kBulk = 2 };
inline constexpr int kNumLanes = 3;
std::string_view LaneName(Lane lane);  // "short", "long", "bulk"

struct LaneOptions {
  int64_t short_up_to = 512;                          // tokens; longest text of the short lane
  int64_t long_up_to = 8192;                          // tokens; above is bulk
  std::array<double, kNumLanes> weights = {8, 3, 1};  // shares of predicted seconds while all lanes wait
  double ageing = 0.1;                                // seconds of virtual time per second waited, >= 0
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
};
}  // namespace longspan
