#include "server/http/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace longspan {
namespace {

constexpr EventLoop::Id kWake = 0;
constexpr int kEventsAtOnce = 64;

std::string Reason(int error) { return std::strerror(error); }  // NOLINT(concurrency-mt-unsafe)

}  // namespace

absl::Status EventLoop::Start() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return absl::UnavailableError(Reason(errno));
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWake}};
  if (wake_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0)
    return absl::UnavailableError(Reason(errno));
  {
    absl::MutexLock lock(&mu_);
    running_ = true;
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void EventLoop::Stop() {
  if (thread_.joinable()) {
    {
      absl::MutexLock lock(&mu_);
      running_ = false;
    }
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof(one));
    thread_.join();
    RunTasks();
  }
  for (int* const fd : {&epoll_, &wake_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

bool EventLoop::Post(Task&& task) {
  absl::MutexLock lock(&mu_);
  if (!running_) return false;
  tasks_.push_back(std::move(task));
  // Those behind the first are found when it is.
  if (tasks_.size() > 1) return true;
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof(one));
  return true;
}

EventLoop::Id EventLoop::Watch(int fd, uint32_t events, Watcher* watcher) {
  const Id id = next_id_++;
  watched_[id] = {fd, events, watcher, Clock::time_point::max()};
  epoll_event event{.events = events, .data = {.u64 = id}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  return id;
}

void EventLoop::SetEvents(Id id, uint32_t events) {
  const auto found = watched_.find(id);
  if (found == watched_.end() || found->second.events == events) return;
  found->second.events = events;
  epoll_event event{.events = events, .data = {.u64 = id}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, found->second.fd, &event);
}

void EventLoop::SetDeadline(Id id, Clock::time_point deadline) {
  const auto found = watched_.find(id);
  if (found == watched_.end() || found->second.deadline == deadline) return;
  deadlines_.erase({found->second.deadline, id});
  found->second.deadline = deadline;
  if (deadline != Clock::time_point::max()) deadlines_.insert({deadline, id});
}

void EventLoop::Forget(Id id) {
  const auto found = watched_.find(id);
  if (found == watched_.end()) return;
  deadlines_.erase({found->second.deadline, id});
  epoll_ctl(epoll_, EPOLL_CTL_DEL, found->second.fd, nullptr);
  watched_.erase(found);
}

int EventLoop::MillisecondsToNextDeadline() const {
  if (deadlines_.empty()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadlines_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
}

void EventLoop::Run() {
  epoll_event events[kEventsAtOnce];
  while (true) {
    const int ready = epoll_wait(epoll_, events, kEventsAtOnce, MillisecondsToNextDeadline());
    for (int i = 0; i < ready; ++i) {
      if (events[i].data.u64 == kWake) {
        uint64_t count = 0;
        (void)!read(wake_, &count, sizeof(count));
        continue;
      }
      const auto found = watched_.find(events[i].data.u64);
      if (found != watched_.end()) found->second.watcher->OnEvents(events[i].events);
    }
    RunTasks();
    RunDeadlines();
    absl::MutexLock lock(&mu_);
    if (!running_) return;
  }
}

void EventLoop::RunTasks() {
  std::vector<Task> tasks;
  {
    absl::MutexLock lock(&mu_);
    tasks.swap(tasks_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::RunDeadlines() {
  const auto now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const Id id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    const auto found = watched_.find(id);
    if (found == watched_.end()) continue;
    found->second.deadline = Clock::time_point::max();
    found->second.watcher->OnDeadline();
  }
}

}  // namespace longspan
