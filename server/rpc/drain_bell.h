// DrainBell: tells the open streams that the server refuses new work from now on. A stream that
// waits for its caller's next message would else hold the drain for as long as the caller likes.
//
// A stream adds itself before it asks RpcCall::Admit, and the server changes its phase before it
// rings. So a stream either hears the bell or is refused.
//
// Thread safety: all methods may be called from any thread. No lock is held while a listener runs.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/error_details.h"

namespace longspan {

// What a caller gets from a server that drains: UNAVAILABLE, and the time to try again, elsewhere.
inline absl::Status DrainingStatus() {
  return WithRetryAfter(absl::UnavailableError("the server is draining; use another one"),
                        absl::Seconds(1));
}

class DrainListener {
 public:
  virtual ~DrainListener() = default;
  // Ends the stream with DrainingStatus as soon as nothing of it is in work. Called once at most,
  // on the thread that drains.
  virtual void OnDrain() = 0;
};

class DrainBell {
 public:
  void Add(const std::shared_ptr<DrainListener>& listener) {
    absl::MutexLock lock(&mu_);
    listeners_[listener.get()] = listener;
  }
  void Remove(const DrainListener* listener) {
    absl::MutexLock lock(&mu_);
    listeners_.erase(listener);
  }
  void Ring() {
    std::vector<std::shared_ptr<DrainListener>> listeners;
    {
      absl::MutexLock lock(&mu_);
      for (const auto& [key, listener] : std::exchange(listeners_, {})) {
        if (auto alive = listener.lock()) listeners.push_back(std::move(alive));
      }
    }
    for (const auto& listener : listeners) listener->OnDrain();
  }

 private:
  absl::Mutex mu_;
  std::map<const DrainListener*, std::weak_ptr<DrainListener>> listeners_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
