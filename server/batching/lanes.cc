#include "server/batching/lanes.h"

#include <algorithm>
#include <limits>

namespace longspan {

std::string_view LaneName(Lane lane) {
  switch (lane) {
    case Lane::kShort:
      return "short";
    case Lane::kLong:
      return "long";
    case Lane::kBulk:
      return "bulk";
  }
  return "unknown";
}

Lane LaneOf(int64_t num_tokens, const LaneOptions& options) {
  if (num_tokens <= options.short_up_to) return Lane::kShort;
  return num_tokens <= options.long_up_to ? Lane::kLong : Lane::kBulk;
}

Lanes::Lanes(const LaneOptions& options, const IsAbandoned& is_abandoned)
    : options_(options),
      queues_{LaneQueue(is_abandoned), LaneQueue(is_abandoned), LaneQueue(is_abandoned)} {}

// As LaneQueue::Now. The minimum is needed because ageing lets a lane be taken from ahead of its
// turn: virtual_time_ is then larger than that of the lanes that wait, and a lane that comes back
// must not start so far behind them.
double Lanes::Now() const {
  double now = virtual_time_;
  for (int index = 0; index < kNumLanes; ++index) {
    if (!queues_[index].empty()) now = std::min(now, virtual_times_[index]);
  }
  return now;
}

void Lanes::Push(Lane lane, QueuedPiece piece, const std::string& client) {
  const int index = static_cast<int>(lane);
  if (queues_[index].empty()) virtual_times_[index] = std::max(virtual_times_[index], Now());
  queues_[index].Push(std::move(piece), client);
}

double Lanes::AgedTime(int index, absl::Time now) const {
  const double waited = std::max(0.0, absl::ToDoubleSeconds(now - queues_[index].oldest()));
  return virtual_times_[index] - options_.ageing * waited;
}

std::optional<Lane> Lanes::NextLane(absl::Time now,
                                    const std::function<bool(Lane)>& eligible) const {
  std::optional<Lane> best;
  double best_time = std::numeric_limits<double>::infinity();
  for (int index = 0; index < kNumLanes; ++index) {
    if (queues_[index].empty() || !eligible(static_cast<Lane>(index))) continue;
    const double time = AgedTime(index, now);
    if (time < best_time) {
      best = static_cast<Lane>(index);
      best_time = time;
    }
  }
  return best;
}

std::optional<Lane> Lanes::NextLaneBefore(absl::Time now, Lane running) const {
  const int limit = static_cast<int>(running);
  return NextLane(now, [&](Lane lane) {
    const int index = static_cast<int>(lane);
    return index < limit && AgedTime(index, now) <= virtual_times_[limit];
  });
}

void Lanes::Charge(Lane lane, const QueuedPiece& piece) {
  if (piece.abandoned) return;
  const int index = static_cast<int>(lane);
  virtual_time_ = virtual_times_[index];
  virtual_times_[index] += piece.seconds / options_.weights[index];
}

QueuedPiece Lanes::Take(Lane lane) {
  QueuedPiece piece = queues_[static_cast<int>(lane)].Take();
  Charge(lane, piece);
  return piece;
}

QueuedPiece Lanes::TakeMore(Lane lane) {
  QueuedPiece piece = queues_[static_cast<int>(lane)].TakeMore();
  Charge(lane, piece);
  return piece;
}

std::optional<QueuedPiece> Lanes::TakePadded(Lane lane, int64_t padded_tokens) {
  std::optional<QueuedPiece> piece = queues_[static_cast<int>(lane)].TakePadded(padded_tokens);
  if (piece.has_value()) Charge(lane, *piece);
  return piece;
}

std::optional<QueuedPiece> Lanes::TakeFitting(Lane lane,
                                              const std::function<bool(const QueuedPiece&)>& fits) {
  std::optional<QueuedPiece> piece = queues_[static_cast<int>(lane)].TakeFitting(fits);
  if (piece.has_value()) Charge(lane, *piece);
  return piece;
}

void Lanes::RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                     std::vector<QueuedPiece>* removed) {
  for (LaneQueue& queue : queues_) queue.RemoveIf(condition, removed);
}

}  // namespace longspan
