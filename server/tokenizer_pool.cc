#include "server/tokenizer_pool.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "server/error_details.h"

namespace longspan {
namespace {

absl::Status ShutDown() {
  return WithRetryAfter(absl::UnavailableError("the server is shutting down; try another replica"), absl::Seconds(1));
}

}  // namespace

TokenizerPool::TokenizerPool(int num_threads) : max_running_large_(std::max(1, num_threads - 1)) {
  absl::MutexLock lock(&join_mu_);
  for (int i = 0; i < std::max(1, num_threads); ++i) threads_.emplace_back([this] { Run(); });
}

TokenizerPool::~TokenizerPool() { Shutdown(); }

void TokenizerPool::Submit(int64_t bytes, Job job) {
  {
    absl::MutexLock lock(&mu_);
    if (!stopping_) {
      (bytes > kLargeBytes ? large_ : small_).push_back({next_number_++, std::move(job)});
      return;
    }
  }
  job(ShutDown());
}

bool TokenizerPool::LargeMayStartLocked() const { return !large_.empty() && running_large_ < max_running_large_; }

bool TokenizerPool::CanTakeLocked() const { return !small_.empty() || LargeMayStartLocked(); }

TokenizerPool::Job TokenizerPool::TakeLocked(bool* is_large) {
  *is_large = LargeMayStartLocked() && (small_.empty() || large_.front().number < small_.front().number);
  std::deque<Entry>& queue = *is_large ? large_ : small_;
  Job job = std::move(queue.front().job);
  queue.pop_front();
  return job;
}

void TokenizerPool::Run() {
  const auto woken = [](TokenizerPool* pool) ABSL_NO_THREAD_SAFETY_ANALYSIS {  // called with mu_ held
    return pool->CanTakeLocked() || (pool->stopping_ && pool->large_.empty());
  };
  bool was_large = false;
  while (true) {
    Job job;
    {
      absl::MutexLock lock(&mu_);
      if (was_large) --running_large_;
      mu_.Await(absl::Condition(+woken, this));
      if (!CanTakeLocked()) return;
      job = TakeLocked(&was_large);
      if (was_large) ++running_large_;
    }
    job(absl::OkStatus());
  }
}

void TokenizerPool::Stop(bool run_waiting) {
  std::deque<Entry> refused;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (!run_waiting) {
      refused.swap(small_);
      std::move(large_.begin(), large_.end(), std::back_inserter(refused));
      large_.clear();
    }
  }
  for (Entry& entry : refused) entry.job(ShutDown());
  absl::MutexLock lock(&join_mu_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void TokenizerPool::Drain() { Stop(true); }

void TokenizerPool::Shutdown() { Stop(false); }

int64_t TokenizerPool::num_waiting() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int64_t>(small_.size() + large_.size());
}

}  // namespace longspan
