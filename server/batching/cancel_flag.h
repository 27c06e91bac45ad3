// CancelFlag: one per request, shared by the call and all its tasks: set once by whoever learns
// that nobody waits any more (client gone, a sibling of a unary request failed), read at every seam
// of the work.
//
// Thread safety: all methods may be called from any thread; none blocks.
#pragma once

#include <atomic>

namespace longspan {

class CancelFlag {
 public:
  void Cancel() { cancelled_.store(true, std::memory_order_release); }
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace longspan
