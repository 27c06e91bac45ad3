#include "server/http/out_queue.h"

#include <algorithm>
#include <string_view>
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
  if (!blocks_.empty() && !blocks_.back().sent &&
      blocks_.back().bytes.size() + bytes.size() <= kJoined) {
    blocks_.back().bytes.append(bytes);
    blocks_.back().sent = std::move(sent);
    return;
  }
  blocks_.push_back({std::move(bytes), std::move(sent)});
}

Io OutQueue::Flush(Transport* transport) {
  if (blocks_.empty()) return Io::kEnd;
  // Called behind the loop: they may destroy what they own.
  std::vector<Sent> sent;
  size_t now = 0;
  IoResult result{Io::kDone, 0};
  while (!blocks_.empty() && now < kAtOnce) {
    Block& block = blocks_.front();
    const auto rest = std::string_view(block.bytes).substr(offset_);
    if (!rest.empty()) {
      result = transport->Write(rest.substr(0, kAtOnce));
      if (result.io != Io::kDone) break;
      offset_ += result.bytes;
      unsent_ -= result.bytes;
      now += result.bytes;
      if (offset_ < block.bytes.size()) continue;
    }
    if (block.sent) sent.push_back(std::move(block.sent));
    blocks_.pop_front();
    offset_ = 0;
  }
  written_ += static_cast<int64_t>(now);
  for (const Sent& callback : sent) callback(true);
  return now > 0 && result.io != Io::kFailed ? Io::kDone : result.io;
}

void OutQueue::Drop() {
  std::deque<Block> blocks;
  blocks.swap(blocks_);
  offset_ = unsent_ = 0;
  for (const Block& block : blocks) {
    if (block.sent) block.sent(false);
  }
}

}  // namespace longspan
