#include "server/engine/watchdog.h"

#include <algorithm>
#include <utility>

namespace longspan {
namespace {

// A worker that is silent for less is never taken for stuck, whatever was predicted. Of a batch of
// a few milliseconds the factor alone would make a fraction of a second, and a machine that swaps
// or is short of CPU time is silent for so long.
constexpr absl::Duration kLeastPatience = absl::Minutes(1);

// How many times as long a worker may reach no seam while it computes. The work between two seams
// is bounded, some seconds for the longest texts: a minute times this is far beyond any of it.
constexpr int kPatienceWhileComputing = 10;

}  // namespace

WorkerState JudgeWorker(const EncoderWorker::Heartbeat& heartbeat, absl::Time now, double factor) {
  if (heartbeat.device_lost) return WorkerState::kDead;
  if (!heartbeat.busy) return WorkerState::kGood;
  const absl::Duration patience =
      std::max(kLeastPatience, absl::Seconds(heartbeat.predicted_seconds * factor));
  const absl::Duration since_seam = now - heartbeat.last_sign;
  const absl::Duration silence = std::min(since_seam, now - heartbeat.last_used_cpu);
  if (silence > 2 * patience) return WorkerState::kDead;
  const bool stuck = silence > patience || since_seam > kPatienceWhileComputing * patience;
  return stuck ? WorkerState::kStuck : WorkerState::kGood;
}

Watchdog::Watchdog(std::function<WorkerState()> worst, std::function<void(WorkerState)> report)
    : worst_(std::move(worst)), report_(std::move(report)) {}

void Watchdog::Look() {
  if (reported_ == WorkerState::kDead) return;
  const WorkerState state = worst_();
  if (state == reported_) return;
  reported_ = state;
  report_(state);
}

}  // namespace longspan
