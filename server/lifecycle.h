// Lifecycle: the one word of where the server is in its life, read by every call, set by Server
// alone.
//   starting -> serving -> leaving (SIGTERM: not ready, still answering) -> refusing (UNAVAILABLE for new work)
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
  bool ready() const { return phase() == Phase::kServing; }
  bool answering() const { return phase() == Phase::kServing || phase() == Phase::kLeaving; }
  bool draining() const { return phase() == Phase::kLeaving || phase() == Phase::kRefusing; }

 private:
  std::atomic<Phase> phase_{Phase::kStarting};
};

}  // namespace longspan
