// EventLoop: one thread that waits for many descriptors (epoll), for deadlines, and for tasks from
// other threads. Nothing that runs on it may block.
//
// Thread safety: Post from any thread; Start and Stop from one; the rest on the loop's thread.
// Ownership: what is watched belongs to the caller, who calls Forget before it goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = absl::AnyInvocable<void()>;

  class Watcher {
   public:
    virtual void OnEvents(uint32_t events) = 0;  // EPOLLIN, EPOLLOUT, ...
    virtual void OnDeadline() = 0;

   protected:
    ~Watcher() = default;
  };
  // One descriptor that is watched. Numbers are never used again, so an event for a descriptor
  // that was forgotten a moment ago finds nobody.
  using Id = uint64_t;

  EventLoop() = default;
  ~EventLoop() { Stop(); }
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // UNAVAILABLE with the system's reason.
  absl::Status Start();
  // Ends the thread. Tasks that still wait then run on the caller's thread, in their order.
  void Stop();

  // Runs the task on the loop's thread, after those posted before. False where the loop does not
  // run any more: the task is still the caller's.
  bool Post(Task&& task);

  Id Watch(int fd, uint32_t events, Watcher* watcher);
  void SetEvents(Id id, uint32_t events);
  // Calls OnDeadline once, then; Clock::time_point::max() = never.
  void SetDeadline(Id id, Clock::time_point deadline);
  void Forget(Id id);

 private:
  struct Watched {
    int fd;
    uint32_t events;
    Watcher* watcher;
    Clock::time_point deadline;
  };

  void Run();
  int MillisecondsToNextDeadline() const;
  void RunTasks();
  void RunDeadlines();

  int epoll_ = -1;
  int wake_ = -1;  // an eventfd
  Id next_id_ = 1;
  std::unordered_map<Id, Watched> watched_;
  std::set<std::pair<Clock::time_point, Id>> deadlines_;

  absl::Mutex mu_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool running_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace longspan
