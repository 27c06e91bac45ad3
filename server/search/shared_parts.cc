#include "server/search/shared_parts.h"

#include <algorithm>
#include <exception>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace longspan {
namespace {

// Shared with the helpers, of which some may begin when all is over.
class Parts {
 public:
  Parts(int64_t parts, const std::function<void(int64_t)>& part) : parts_(parts), part_(part) {}

  void TakeAll() {
    for (int64_t part = Begin(); part >= 0; part = Begin()) {
      std::exception_ptr thrown;
      try {
        part_(part);
      } catch (...) {
        thrown = std::current_exception();
      }
      End(thrown);
    }
  }

  void AwaitEnd() {
    absl::MutexLock lock(&mu_);
    const auto none_runs = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return running_ == 0; };
    mu_.Await(absl::Condition(&none_runs));
    if (thrown_ != nullptr) std::rethrow_exception(thrown_);
  }

 private:
  // The next part, or -1.
  int64_t Begin() {
    absl::MutexLock lock(&mu_);
    if (next_ == parts_) return -1;
    ++running_;
    return next_++;
  }
  void End(std::exception_ptr thrown) {
    absl::MutexLock lock(&mu_);
    --running_;
    if (thrown == nullptr) return;
    thrown_ = std::move(thrown);
    next_ = parts_;
  }

  const int64_t parts_;
  const std::function<void(int64_t)>& part_;  // the caller's, which waits for all that have begun
  absl::Mutex mu_;
  int64_t next_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t running_ ABSL_GUARDED_BY(mu_) = 0;
  std::exception_ptr thrown_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

void ForEachPartOn(TokenizerPool* pool, const std::string& client, int64_t helpers, int64_t parts,
                   const std::function<void(int64_t)>& part) {
  const auto shared = std::make_shared<Parts>(parts, part);
  for (int64_t i = 0; i < std::min(helpers, parts - 1); ++i)
    pool->Submit(client, /*bytes=*/0, [shared](const absl::Status& status) {
      if (status.ok()) shared->TakeAll();
    });
  shared->TakeAll();
  shared->AwaitEnd();
}

}  // namespace longspan
