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

// Virtual time is that at which the last text was taken: a client that is back before others moved
// on lost nothing.
double LaneQueue::Now() const {
  return turns_.empty() ? virtual_time_ : std::min(virtual_time_, turns_.begin()->first);
}

void LaneQueue::Push(QueuedPiece piece, const std::string& name) {
  const auto [entry, is_new] = clients_.try_emplace(name);
  Client& client = entry->second;
  if (client.queue.empty()) {
    client.virtual_time = std::max(client.virtual_time, Now());
    turns_.emplace(client.virtual_time, name);
  }
  ++texts_;
  tokens_ += piece.tokens;
  seconds_ += piece.seconds;
  arrivals_.insert(piece.queued);
  client.queue.push_back(std::move(piece));
}

const QueuedPiece& LaneQueue::Next() const {
  return clients_.at(turns_.begin()->second).queue.front();
}

QueuedPiece LaneQueue::Take() { return TakeFrom(turns_.begin(), 0); }

std::optional<QueuedPiece> LaneQueue::TakePadded(int64_t padded_tokens) {
  for (auto turn = turns_.begin(); turn != turns_.end(); ++turn) {
    const std::deque<QueuedPiece>& queue = clients_.at(turn->second).queue;
    const size_t depth = std::min(queue.size(), kLookAhead);
    for (size_t i = 0; i < depth; ++i) {
      if (queue[i].padded_tokens == padded_tokens) return TakeFrom(turn, i);
    }
  }
  return std::nullopt;
}

QueuedPiece LaneQueue::TakeFrom(Turns::const_iterator turn, size_t index) {
  virtual_time_ = turns_.begin()->first;
  const Turns::node_type taken = turns_.extract(turn);
  const std::string& name = taken.value().second;
  Client& client = clients_.at(name);
  QueuedPiece piece = std::move(client.queue[index]);
  client.queue.erase(client.queue.begin() + static_cast<int64_t>(index));
  piece.abandoned = is_abandoned_(piece);
  if (!piece.abandoned) client.virtual_time += piece.seconds;
  if (!client.queue.empty()) turns_.emplace(client.virtual_time, name);
  Forget(piece);
  DropIdleClients();
  return piece;
}

void LaneQueue::Forget(const QueuedPiece& piece) {
  --texts_;
  tokens_ -= piece.tokens;
  seconds_ =
      texts_ == 0 ? 0 : seconds_ - piece.seconds;  // no rounding left behind by an empty lane
  arrivals_.erase(arrivals_.find(piece.queued));
}

// Clients whose lead is used up are as good as unknown. One pass per so many texts taken as there
// are clients: O(1) a text.
void LaneQueue::DropIdleClients() {
  if (++taken_since_drop_ < clients_.size() + 16) return;
  taken_since_drop_ = 0;
  const double now = Now();
  std::erase_if(clients_, [&](const auto& entry) {
    return entry.second.queue.empty() && entry.second.virtual_time <= now;
  });
}

void LaneQueue::RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                         std::vector<QueuedPiece>* removed) {
  for (auto& [name, client] : clients_) {
    if (client.queue.empty()) continue;
    const auto gone =
        std::stable_partition(client.queue.begin(), client.queue.end(),
                              [&](const QueuedPiece& piece) { return !condition(piece); });
    for (auto piece = gone; piece != client.queue.end(); ++piece) {
      Forget(*piece);
      removed->push_back(std::move(*piece));
    }
    client.queue.erase(gone, client.queue.end());
    if (client.queue.empty()) turns_.erase({client.virtual_time, name});
  }
}

Lanes::Lanes(const LaneOptions& options, const IsAbandoned& is_abandoned)
    : options_(options),
      queues_{LaneQueue(is_abandoned), LaneQueue(is_abandoned), LaneQueue(is_abandoned)} {}

// As LaneQueue::Now. The minimum matters: an aged lane is served ahead of its time, and a newcomer
// must not inherit that.
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

bool Lanes::empty() const {
  return std::all_of(queues_.begin(), queues_.end(),
                     [](const LaneQueue& queue) { return queue.empty(); });
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

std::optional<QueuedPiece> Lanes::TakePadded(Lane lane, int64_t padded_tokens) {
  std::optional<QueuedPiece> piece = queues_[static_cast<int>(lane)].TakePadded(padded_tokens);
  if (piece.has_value()) Charge(lane, *piece);
  return piece;
}

void Lanes::RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                     std::vector<QueuedPiece>* removed) {
  for (LaneQueue& queue : queues_) queue.RemoveIf(condition, removed);
}

}  // namespace longspan
