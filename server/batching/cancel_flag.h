// CancelFlag: one per request, shared by the call and all its tasks. Whoever learns that nobody
// waits any more sets it, once: the client went away, or another text of the same unary request
// failed. It is read wherever the work can be given up: before the tokenizer, in the queue, and at
// the seams of a pass.
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
