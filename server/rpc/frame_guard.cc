#include "server/rpc/frame_guard.h"

#include <algorithm>

namespace longspan {
namespace {

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kResetStream = 3,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kEndHeaders = 0x4;

}  // namespace

bool FrameGuard::Budget::Take(Clock::time_point now) {
  if (filled_ != Clock::time_point{}) {
    const double seconds = std::chrono::duration<double>(now - filled_).count();
    left_ = std::min(most_, left_ + seconds * per_second_);
  }
  filled_ = now;
  left_ -= 1;
  return left_ >= 0;
}

FrameGuard::Verdict FrameGuard::Read(std::string_view bytes, Clock::time_point now) {
  const auto skip = [&bytes](int64_t count) {
    const auto skipped = std::min<int64_t>(count, static_cast<int64_t>(bytes.size()));
    bytes.remove_prefix(static_cast<size_t>(skipped));
    return skipped;
  };
  preface_left_ -= static_cast<int>(skip(preface_left_));
  while (!bytes.empty()) {
    if (payload_left_ > 0) {
      payload_left_ -= skip(payload_left_);
      continue;
    }
    head_[head_bytes_++] = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    if (head_bytes_ < static_cast<int>(sizeof(head_))) continue;
    head_bytes_ = 0;
    payload_left_ = int64_t{head_[0]} << 16 | int64_t{head_[1]} << 8 | head_[2];
    if (const Verdict verdict = JudgeFrame(now); verdict != Verdict::kFine) return verdict;
  }
  return Verdict::kFine;
}

FrameGuard::Verdict FrameGuard::JudgeFrame(Clock::time_point now) {
  const uint8_t type = head_[3], flags = head_[4];
  const uint32_t stream = (uint32_t{head_[5]} & 0x7f) << 24 | uint32_t{head_[6]} << 16 |
                          uint32_t{head_[7]} << 8 | head_[8];
  switch (type) {
    case kHeaders:
    case kContinuation:
      return JudgeHeaders(type == kContinuation, (flags & kEndHeaders) != 0, stream, now);
    case kResetStream:
      return resets_.Take(now) ? Verdict::kFine : Verdict::kResets;
    case kWindowUpdate:
      return window_updates_.Take(now) ? Verdict::kFine : Verdict::kIdleFrames;
    case kData:
      if (payload_left_ > 0 || (flags & kEndStream) != 0) return Verdict::kFine;
      [[fallthrough]];
    default:
      return idle_frames_.Take(now) ? Verdict::kFine : Verdict::kIdleFrames;
  }
}

FrameGuard::Verdict FrameGuard::JudgeHeaders(bool continuation, bool ends, uint32_t stream,
                                             Clock::time_point now) {
  if (!continuation) block_bytes_ = block_frames_ = 0;
  block_bytes_ += payload_left_;
  ++block_frames_;
  if (block_bytes_ > kMaxHeaderBlockBytes || block_frames_ > kMaxHeaderFrames)
    return Verdict::kHeaderBlock;
  const bool opens = !continuation && stream > last_stream_;
  if (opens) last_stream_ = stream;
  // Trailers of a client are headers of a stream that is there; gRPC's clients send none.
  const bool idle = continuation ? payload_left_ == 0 && !ends : !opens;
  return idle && !idle_frames_.Take(now) ? Verdict::kIdleFrames : Verdict::kFine;
}

}  // namespace longspan
