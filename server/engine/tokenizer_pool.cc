#include "server/engine/tokenizer_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/batching/shutting_down.h"

namespace longspan {

TokenizerPool::TokenizerPool(int num_threads, int64_t max_running_bytes)
    : max_running_large_(std::max(1, num_threads - 1)), max_running_bytes_(max_running_bytes) {
  absl::MutexLock lock(&join_mu_);
  for (int i = 0; i < std::max(1, num_threads); ++i) threads_.emplace_back([this] { Run(); });
}

TokenizerPool::~TokenizerPool() { Shutdown(); }

void TokenizerPool::Submit(int64_t bytes, Job job) {
  {
    absl::MutexLock lock(&mu_);
    if (!stopping_) {
      (bytes > kLargeBytes ? large_ : small_).push_back({next_number_++, bytes, std::move(job)});
      return;
    }
  }
  job(ShuttingDown());
}

bool TokenizerPool::LargeMayStartLocked() const {
  if (large_.empty() || running_large_ >= max_running_large_) return false;
  return running_large_ == 0 || running_bytes_ + large_.front().bytes <= max_running_bytes_;
}

bool TokenizerPool::CanTakeLocked() const { return !small_.empty() || LargeMayStartLocked(); }

TokenizerPool::Entry TokenizerPool::TakeLocked() {
  const bool is_large =
      LargeMayStartLocked() && (small_.empty() || large_.front().number < small_.front().number);
  std::deque<Entry>& queue = is_large ? large_ : small_;
  Entry entry = std::move(queue.front());
  queue.pop_front();
  CountLocked(entry.bytes, +1);
  return entry;
}

void TokenizerPool::CountLocked(int64_t bytes, int sign) {
  if (bytes <= kLargeBytes) return;
  running_large_ += sign;
  running_bytes_ += sign * bytes;
}

void TokenizerPool::Run() {
  // Called with mu_ held. A large text that must wait for others to end is still run after Drain.
  const auto woken = [](TokenizerPool* pool) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return pool->CanTakeLocked() || (pool->stopping_ && pool->large_.empty());
  };
  int64_t last_bytes = 0;
  while (true) {
    Entry entry;
    {
      absl::MutexLock lock(&mu_);
      CountLocked(last_bytes, -1);
      mu_.Await(absl::Condition(+woken, this));
      if (!CanTakeLocked()) return;
      entry = TakeLocked();
    }
    last_bytes = entry.bytes;
    entry.job(absl::OkStatus());
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
  for (Entry& entry : refused) entry.job(ShuttingDown());
  absl::MutexLock lock(&join_mu_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void TokenizerPool::Drain() { Stop(true); }

void TokenizerPool::Shutdown() { Stop(false); }

}  // namespace longspan
