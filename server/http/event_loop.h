// EventLoop: one thread that runs Boost.Asio's io_context: sockets (transport.h), alarms, and tasks
// from other threads. Nothing that runs on it may block.
//
// Alarm: calls back once, at a moment.
//
// Boost's headers are large, so only the .cc files behind this header and transport.h know Asio.
//
// Thread safety: Post from any thread; Start and Stop from one; Alarm on the loop's thread.
// Ownership: sockets and alarms of a loop must be closed before it ends, and go before it does.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace boost::asio {
class io_context;
}

namespace longspan {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = absl::AnyInvocable<void()>;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // UNAVAILABLE with the system's reason.
  absl::Status Start();
  // Ends the thread. Tasks that still wait then run on the caller's thread, in their order.
  void Stop();

  // Runs the task on the loop's thread, after those posted before. False where the loop does not
  // run any more: the task is still the caller's.
  bool Post(Task&& task);

  boost::asio::io_context& context() { return *context_; }

 private:
  std::unique_ptr<boost::asio::io_context> context_;  // null before Start
  absl::Mutex mu_;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: it uses all of the above
};

class Alarm {
 public:
  using Clock = EventLoop::Clock;

  explicit Alarm(EventLoop* loop);
  ~Alarm();
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  // Takes the place of a call that is still to come.
  void Set(Clock::time_point when, std::function<void()> callback);
  // No call comes, unless it is under way.
  void Cancel();

 private:
  struct Timer;
  std::unique_ptr<Timer> timer_;
};

}  // namespace longspan
