#include "server/engine/thread_cpu_time.h"

#include <pthread.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace longspan {

std::function<absl::Duration()> CpuTimeOfThisThread() {
  clockid_t clock{};
  const bool found = pthread_getcpuclockid(pthread_self(), &clock) == 0;
  auto last = std::make_shared<std::atomic<int64_t>>(0);  // nanoseconds
  return [clock, found, last] {
    timespec used{};
    if (found && clock_gettime(clock, &used) == 0)
      last->store(int64_t{1'000'000'000} * used.tv_sec + used.tv_nsec);
    return absl::Nanoseconds(last->load());
  };
}

}  // namespace longspan
