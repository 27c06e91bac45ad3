// Tells ThreadSanitizer what libraries do that are not built with it. This file is linked into
// every program of the tsan preset.
//
// absl::Mutex sleeps on a futex inside libabsl_synchronization.so. The sanitizer therefore sees
// neither lock nor unlock, and reports a race on everything that a mutex guards. The definitions
// here come before those of the library in the order of the dynamic linker, for callers in our
// code, in gRPC and in absl alike. Each calls the function of the library and tells the sanitizer
// which order it makes: unlocking releases what the thread has written, locking acquires it.
//
// absl evaluates the condition of a waiting thread on whichever thread unlocks, after the order of
// that unlock is told. The reads inside of the library's functions are therefore ignored.
//
// The threads of an OpenMP team meet inside libgomp, which the sanitizer does not see either. Run
// these programs with OMP_THREAD_LIMIT=1, as ./dev test does for this preset.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/base/config.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}

namespace {

// The function of the library whose mangled name is `prefix` (_ZN4absl or _ZNK4absl), then absl's
// inline namespace with its length in front, then `rest`.
template <typename Function>
Function* Real(const char* prefix, const char* rest) {
  const std::string space = ABSL_INTERNAL_TOKEN_STR(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name = prefix + std::to_string(space.size()) + space + rest;
  void* found = dlsym(RTLD_NEXT, name.c_str());
  if (found == nullptr) {
    std::fprintf(stderr, "thread_sanitizer: %s is in no library\n", name.c_str());
    std::abort();
  }
  return reinterpret_cast<Function*>(found);
}

// While it lives, the sanitizer ignores the reads of this thread.
struct IgnoredReads {
  IgnoredReads() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~IgnoredReads() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex4LockEv");
  {
    IgnoredReads ignored;
    real(this);
  }
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex6UnlockEv");
  __tsan_release(this);
  IgnoredReads ignored;
  real(this);
}

bool Mutex::TryLock() {
  static auto* const real = Real<bool(Mutex*)>("_ZN4absl", "5Mutex7TryLockEv");
  const bool locked = real(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::ReaderLock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex10ReaderLockEv");
  {
    IgnoredReads ignored;
    real(this);
  }
  __tsan_acquire(this);
}

void Mutex::ReaderUnlock() {
  static auto* const real = Real<void(Mutex*)>("_ZN4absl", "5Mutex12ReaderUnlockEv");
  __tsan_release(this);
  IgnoredReads ignored;
  real(this);
}

void Mutex::Await(const Condition& condition) {
  static auto* const real =
      Real<void(Mutex*, const Condition&)>("_ZN4absl", "5Mutex5AwaitERKNS0_9ConditionE");
  __tsan_release(this);
  {
    IgnoredReads ignored;
    real(this, condition);
  }
  __tsan_acquire(this);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static auto* const real = Real<bool(Mutex*, const Condition&, Duration)>(
      "_ZN4absl", "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
  __tsan_release(this);
  bool met = false;
  {
    IgnoredReads ignored;
    met = real(this, condition, timeout);
  }
  __tsan_acquire(this);
  return met;
}

void CondVar::Wait(Mutex* mu) {
  static auto* const real = Real<void(CondVar*, Mutex*)>("_ZN4absl", "7CondVar4WaitEPNS0_5MutexE");
  __tsan_release(mu);
  {
    IgnoredReads ignored;
    real(this, mu);
  }
  __tsan_acquire(mu);
}

bool CondVar::WaitWithDeadline(Mutex* mu, Time deadline) {
  static auto* const real = Real<bool(CondVar*, Mutex*, Time)>(
      "_ZN4absl", "7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  __tsan_release(mu);
  bool expired = false;
  {
    IgnoredReads ignored;
    expired = real(this, mu, deadline);
  }
  __tsan_acquire(mu);
  return expired;
}

bool CondVar::WaitWithTimeout(Mutex* mu, Duration timeout) {
  static auto* const real = Real<bool(CondVar*, Mutex*, Duration)>(
      "_ZN4absl", "7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  __tsan_release(mu);
  bool expired = false;
  {
    IgnoredReads ignored;
    expired = real(this, mu, timeout);
  }
  __tsan_acquire(mu);
  return expired;
}

void Notification::Notify() {
  static auto* const real = Real<void(Notification*)>("_ZN4absl", "12Notification6NotifyEv");
  __tsan_release(this);
  IgnoredReads ignored;
  real(this);
}

void Notification::WaitForNotification() const {
  static auto* const real =
      Real<void(const Notification*)>("_ZNK4absl", "12Notification19WaitForNotificationEv");
  {
    IgnoredReads ignored;
    real(this);
  }
  __tsan_acquire(const_cast<Notification*>(this));
}

ABSL_NAMESPACE_END
}  // namespace absl

// gRPC hands a call from thread to thread by atomics of its libraries. Its headers, which are
// compiled into our programs, meet it again where an operation is started and where it is done; the
// tag is the same at both. The sanitizer must not look into the libraries themselves
// (ignore_noninstrumented_modules=1, set by ./dev test).
extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t nops, void* tag,
                                      void* reserved) {
  static auto* const real =
      reinterpret_cast<decltype(&grpc_call_start_batch)>(dlsym(RTLD_NEXT, "grpc_call_start_batch"));
  __tsan_release(tag);
  return real(call, ops, nops, tag, reserved);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                      void* reserved) {
  static auto* const real = reinterpret_cast<decltype(&grpc_completion_queue_next)>(
      dlsym(RTLD_NEXT, "grpc_completion_queue_next"));
  const grpc_event event = real(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

}  // extern "C"
