#include "server/batching/clock.h"

#include <chrono>

namespace longspan {
namespace {

// The same moment on both clocks.
struct Anchor {
  absl::Time wall = absl::Now();
  std::chrono::steady_clock::time_point steady = std::chrono::steady_clock::now();
};

}  // namespace

absl::Time SteadyClock::Now() const {
  static const Anchor anchor;  // one for the process, so that all clocks agree
  return anchor.wall + absl::FromChrono(std::chrono::steady_clock::now() - anchor.steady);
}

bool SteadyClock::AwaitUntil(absl::Mutex& mu, const absl::Condition& condition,
                             absl::Time deadline) const {
  return mu.AwaitWithTimeout(condition, deadline - Now());
}

}  // namespace longspan
