// All waits of Abseil in this program, by the steady clock.
//
// Abseil 20220623 turns every timeout of a Mutex or a CondVar into a moment of the wall clock and
// hands that to the kernel. When somebody sets the system's time forward by an hour, a wait of a
// second ends at once; when it is set back, the wait lasts an hour and a second. That is so for our
// own waits and for those of gRPC, whose timers (deadlines, keepalive, reconnecting) sleep on
// Abseil's CondVar. Abseil leaves the function through which a thread waits to be replaced: it is a
// weak symbol, and a program that defines it wins. Here it waits until the same moment on the
// steady clock.
//
// A program takes part by compiling this file, which needs no header of ours. Abseil 20230802 and
// later wait by the steady clock themselves, and this file is then empty. Proven by
// clock_steps_test, which sets the clock of running programs.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "absl/base/config.h"

#if ABSL_LTS_RELEASE_VERSION < 20230802
#if ABSL_LTS_RELEASE_VERSION != 20220623
#error "steady_waits.cc knows how Abseil 20220623 waits; compare it with this version's waiter.cc"
#endif

#include "absl/base/internal/thread_identity.h"
#include "absl/synchronization/internal/create_thread_identity.h"
#include "absl/synchronization/internal/kernel_timeout.h"
#include "absl/synchronization/internal/per_thread_sem.h"
#include "absl/synchronization/internal/waiter.h"
#include "absl/time/clock.h"

static_assert(ABSL_WAITER_MODE == ABSL_WAITER_MODE_FUTEX);

namespace {

using absl::synchronization_internal::KernelTimeout;

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

int64_t NowNanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

// The moment of the steady clock that is as far away as `wall` is on the wall clock.
//
// There are two wall clocks. absl::Now counts cycles and asks the system now and then, so for a
// second after the time was set it still tells the old one; gRPC asks the system each time. `wall`
// may be by either. It is taken to be by the one that it is nearer to: by the other it is off by as
// much as the time was set.
//
// A wait that is interrupted comes here again with the same `wall`, maybe after the time was set:
// its first translation holds until it is over.
int64_t SteadyMoment(int64_t wall) {
  thread_local int64_t last_wall = 0;
  thread_local int64_t last_steady = 0;
  const int64_t now = NowNanos(CLOCK_MONOTONIC);
  if (wall == last_wall && last_steady > now) return last_steady;
  const int64_t by_system = wall - NowNanos(CLOCK_REALTIME);
  const int64_t by_absl = wall - absl::GetCurrentTimeNanos();
  const int64_t left = std::abs(by_absl) < std::abs(by_system) ? by_absl : by_system;
  last_wall = wall;
  last_steady = left > kForEver - now ? kForEver : now + (left > 0 ? left : 0);
  return last_steady;
}

// Waits for a post. False: the moment has come first. This is Waiter::Wait of Abseil but for the
// clock: the counter of posts is a futex, the first member of the thread's waiter.
bool WaitForPost(std::atomic<int32_t>* posts, const timespec* until) {
  while (true) {
    int32_t count = posts->load(std::memory_order_relaxed);
    while (count != 0) {
      if (posts->compare_exchange_weak(count, count - 1, std::memory_order_acquire,
                                       std::memory_order_relaxed))
        return true;
    }
    // FUTEX_WAIT_BITSET takes a moment, of the steady clock where no flag names another.
    if (syscall(SYS_futex, posts, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, until, nullptr,
                FUTEX_BITSET_MATCH_ANY) != 0 &&
        errno == ETIMEDOUT)
      return false;
  }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) bool ABSL_INTERNAL_C_SYMBOL(
    AbslInternalPerThreadSemWait)(KernelTimeout timeout) {
  absl::base_internal::ThreadIdentity* const identity =
      absl::synchronization_internal::GetOrCreateCurrentThreadIdentity();
  // What Abseil notes for pools that count their blocked threads.
  const int ticker = identity->ticker.load(std::memory_order_relaxed);
  identity->wait_start.store(ticker != 0 ? ticker : 1, std::memory_order_relaxed);
  identity->is_idle.store(false, std::memory_order_relaxed);
  if (identity->blocked_count_ptr != nullptr)
    identity->blocked_count_ptr->fetch_add(1, std::memory_order_relaxed);

  timespec until{};
  if (timeout.has_timeout()) {
    const int64_t moment = SteadyMoment(std::bit_cast<int64_t>(timeout));
    until = {moment / kNanosPerSecond, moment % kNanosPerSecond};
  }
  const bool posted =
      WaitForPost(reinterpret_cast<std::atomic<int32_t>*>(identity->waiter_state.data),
                  timeout.has_timeout() ? &until : nullptr);

  if (identity->blocked_count_ptr != nullptr)
    identity->blocked_count_ptr->fetch_sub(1, std::memory_order_relaxed);
  identity->is_idle.store(false, std::memory_order_relaxed);
  identity->wait_start.store(0, std::memory_order_relaxed);
  return posted;
}

#endif  // ABSL_LTS_RELEASE_VERSION
