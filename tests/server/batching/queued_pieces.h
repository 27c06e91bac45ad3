// What the tests of lanes and lane queues share: pieces without a task, and nobody gone away.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/batching/lane_queue.h"

namespace longspan {

inline constexpr auto kNobodyLeft = [](const QueuedPiece&) { return false; };

inline absl::Time At(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

// A piece that is predicted to take so many seconds; `queued` is when it came, in seconds.
inline QueuedPiece Piece(double seconds, int64_t tokens = 1, double queued = 0) {
  return {.tokens = tokens, .padded_tokens = tokens, .seconds = seconds, .queued = At(queued)};
}

}  // namespace longspan
