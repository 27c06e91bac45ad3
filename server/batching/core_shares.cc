#include "server/batching/core_shares.h"

#include <algorithm>

namespace longspan {
namespace {

// How long cores must have been idle before a running pass takes them. A caller that gets its
// answer sends its next text within a millisecond or two, and that text should find a core.
constexpr absl::Duration kIdleBeforeGrowth = absl::Milliseconds(10);

}  // namespace

int CoreShares::CouldBegin(int workers) const {
  return options_.follow_load ? std::min(workers, free_ / options_.threads) : workers;
}

int CoreShares::Count(int threads) {
  free_ -= threads;
  busy_ += threads;
  ++running_;
  ++begun_;
  return threads;
}

int CoreShares::Begin(int64_t waiting, int idle) {
  if (!options_.follow_load) return Count(options_.threads);
  const auto passes = static_cast<int>(std::clamp<int64_t>(waiting, 1, 1 + idle));
  return Count(std::clamp(free_ / passes, options_.threads, std::max(options_.threads, free_)));
}

int CoreShares::BeginWithAll() {
  return Count(options_.follow_load ? options_.cores() : options_.threads);
}

void CoreShares::End(int threads, absl::Time now) {
  free_ += threads;
  busy_ -= threads;
  --running_;
  quiet_since_ = now;
}

int CoreShares::AtSeam(int threads, bool work_waits, absl::Time now) {
  if (!options_.follow_load || free_ == 0) return threads;
  if (work_waits) {
    quiet_since_ = now;
    return threads;
  }
  if (now < quiet_since_ + kIdleBeforeGrowth) return threads;
  const int fair = std::max(threads, options_.cores() / running_);
  const int more = std::min(free_, fair - threads);
  free_ -= more;
  busy_ += more;
  return threads + more;
}

}  // namespace longspan
