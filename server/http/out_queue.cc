#include "server/http/out_queue.h"

#include <utility>
#include <vector>

namespace longspan {
namespace {

// Blocks up to this size are put together: a head and its short body make one packet.
constexpr size_t kJoined = 16 << 10;
// Written for one connection before others have their turn.
constexpr size_t kAtOnce = 512 << 10;

}  // namespace

void OutQueue::Add(std::string bytes, Sent sent) {
  if (blocks_.empty()) {
    since_ = Clock::now();
    written_ = 0;
  }
  unsent_ += bytes.size();
  const bool may_join = blocks_.size() > (writing_ ? 1 : 0) && !blocks_.back().sent;
  if (may_join && blocks_.back().bytes.size() + bytes.size() <= kJoined) {
    blocks_.back().bytes.append(bytes);
    blocks_.back().sent = std::move(sent);
    return;
  }
  blocks_.push_back({std::move(bytes), std::move(sent)});
}

std::string_view OutQueue::Next() {
  TellSent();
  if (blocks_.empty()) return {};
  writing_ = true;
  return std::string_view(blocks_.front().bytes).substr(offset_, kAtOnce);
}

void OutQueue::Wrote(size_t bytes) {
  offset_ += bytes;
  unsent_ -= bytes;
  written_ += static_cast<int64_t>(bytes);
  TellSent();
}

void OutQueue::TellSent() {
  // Called behind the loop: they may destroy what they own.
  std::vector<Sent> sent;
  while (!blocks_.empty() && offset_ == blocks_.front().bytes.size()) {
    if (blocks_.front().sent) sent.push_back(std::move(blocks_.front().sent));
    blocks_.pop_front();
    offset_ = 0;
  }
  for (const Sent& callback : sent) callback(true);
}

void OutQueue::Drop() {
  std::vector<Sent> sent;
  for (Block& block : blocks_) {
    if (block.sent) sent.push_back(std::exchange(block.sent, nullptr));
  }
  while (blocks_.size() > (writing_ ? 1 : 0)) blocks_.pop_back();
  unsent_ = 0;
  for (const Sent& callback : sent) callback(false);
}

}  // namespace longspan
