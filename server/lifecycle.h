// Lifecycle: the phase of the server's life. Every call reads it, Server alone sets it.
//   kStarting   the model warms up; new work is UNAVAILABLE
//   kServing    ready for work
//   kLeaving    from SIGTERM on: no longer ready, but still answering, until load balancers know
//   kRefusing   new work is UNAVAILABLE; what was accepted is finished
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <atomic>

namespace longspan {

class Lifecycle {
 public:
  enum class Phase { kStarting, kServing, kLeaving, kRefusing };

  void Set(Phase phase) { phase_.store(phase, std::memory_order_release); }
  Phase phase() const { return phase_.load(std::memory_order_acquire); }
  bool answering() const { return phase() == Phase::kServing || phase() == Phase::kLeaving; }
  bool draining() const { return phase() == Phase::kLeaving || phase() == Phase::kRefusing; }

 private:
  std::atomic<Phase> phase_{Phase::kStarting};
};

}  // namespace longspan
