#include "server/batching/lane_queue.h"

#include <algorithm>

namespace longspan {

// The virtual time at which the last piece was taken, and never above that of a waiting client. A
// client that is back before the others moved on from there has lost nothing.
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
  ++pieces_;
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
  --pieces_;
  tokens_ -= piece.tokens;
  // Set to 0 instead of subtracted down to it, so that an empty lane keeps no rounding error.
  seconds_ = pieces_ == 0 ? 0 : seconds_ - piece.seconds;
  arrivals_.erase(arrivals_.find(piece.queued));
}

// Forgets the clients that wait for nothing and whose virtual time the others have reached: they
// would come back at Now() like a new client. Looks only once in as many pieces as there are
// clients, so that a piece costs O(1). The 16 keep it from looking at every piece where clients are
// few.
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

}  // namespace longspan
