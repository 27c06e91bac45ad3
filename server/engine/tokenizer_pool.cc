#include "server/engine/tokenizer_pool.h"

#include <algorithm>
#include <utility>

#include "server/batching/shutting_down.h"

namespace longspan {
namespace {

// What a job costs its client beside its bytes, so that a client with many tiny texts pays for the
// turns it takes.
constexpr int64_t kBytesOfAnyJob = 1024;

double CostOf(int64_t bytes) { return static_cast<double>(kBytesOfAnyJob + bytes); }

}  // namespace

TokenizerPool::TokenizerPool(int num_threads, int64_t max_running_bytes)
    : max_running_large_(std::max(1, num_threads - 1)), max_running_bytes_(max_running_bytes) {
  absl::MutexLock lock(&join_mu_);
  for (int i = 0; i < std::max(1, num_threads); ++i) threads_.emplace_back([this] { Run(); });
}

TokenizerPool::~TokenizerPool() { Shutdown(); }

void TokenizerPool::Submit(const std::string& client, int64_t bytes, Job job, int64_t call_bytes) {
  {
    absl::MutexLock lock(&mu_);
    if (!stopping_) {
      Jobs& jobs = bytes > kLargeBytes ? large_ : small_;
      // The call has so many jobs like this one, each with its own turn to pay for.
      const double jobs_of_call =
          static_cast<double>(call_bytes) / static_cast<double>(std::max<int64_t>(1, bytes));
      jobs.Push({next_number_++, bytes, std::move(job)}, client,
                {.item = CostOf(bytes), .call = CostOf(bytes) * jobs_of_call});
      return;
    }
  }
  job(ShuttingDown());
}

bool TokenizerPool::LargeMayStartLocked() const {
  if (large_.empty() || running_large_ >= max_running_large_) return false;
  return running_large_ == 0 || running_bytes_ + large_.Next().bytes <= max_running_bytes_;
}

bool TokenizerPool::CanTakeLocked() const { return !small_.empty() || LargeMayStartLocked(); }

TokenizerPool::Entry TokenizerPool::TakeLocked() {
  const bool is_large =
      LargeMayStartLocked() && (small_.empty() || large_.Next().number < small_.Next().number);
  Jobs& jobs = is_large ? large_ : small_;
  jobs.BeginService();
  Entry entry = jobs.Take([](Entry& job) { return CostOf(job.bytes); });
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
  std::vector<Entry> refused;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (!run_waiting) {
      for (Jobs* jobs : {&small_, &large_}) {
        jobs->RemoveIf([](const Entry&) { return true; },
                       [&](Entry entry) { refused.push_back(std::move(entry)); });
      }
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
