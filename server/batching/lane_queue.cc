#include "server/batching/lane_queue.h"

namespace longspan {

LaneQueue::LaneQueue(IsAbandoned is_abandoned)
    : take_([this, is_abandoned = std::move(is_abandoned)](QueuedPiece& piece) {
        Forget(piece);
        piece.abandoned = is_abandoned(piece);
        return piece.abandoned ? 0 : piece.seconds;
      }) {}

void LaneQueue::Push(QueuedPiece piece, const std::string& client) {
  ++pieces_;
  tokens_ += piece.tokens;
  seconds_ += piece.seconds;
  arrivals_.insert(piece.queued);
  const Queue::Size size{.item = piece.seconds, .call = piece.call_seconds};
  queue_.Push(std::move(piece), client, size);
}

QueuedPiece LaneQueue::Take() {
  queue_.BeginService();
  return TakeMore();
}

QueuedPiece LaneQueue::TakeMore() { return queue_.Take(take_); }

std::optional<QueuedPiece> LaneQueue::TakePadded(int64_t padded_tokens) {
  return queue_.TakeFirst(
      {.items_of_each = kLookAhead},
      [&](const QueuedPiece& piece) { return piece.padded_tokens == padded_tokens; }, take_);
}

std::optional<QueuedPiece> LaneQueue::TakeFitting(
    const std::function<bool(const QueuedPiece&)>& fits) {
  return queue_.TakeFirst({.clients = kLookAhead, .items_of_each = 1}, fits, take_);
}

void LaneQueue::Forget(const QueuedPiece& piece) {
  --pieces_;
  tokens_ -= piece.tokens;
  // Set to 0 instead of subtracted down to it, so that an empty lane keeps no rounding error.
  seconds_ = pieces_ == 0 ? 0 : seconds_ - piece.seconds;
  arrivals_.erase(arrivals_.find(piece.queued));
}

void LaneQueue::RemoveIf(const std::function<bool(const QueuedPiece&)>& condition,
                         std::vector<QueuedPiece>* removed) {
  queue_.RemoveIf(condition, [&](QueuedPiece piece) {
    Forget(piece);
    removed->push_back(std::move(piece));
  });
}

}  // namespace longspan
