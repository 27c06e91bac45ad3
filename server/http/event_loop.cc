#include "server/http/event_loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace longspan {

namespace asio = boost::asio;

EventLoop::EventLoop() = default;
EventLoop::~EventLoop() { Stop(); }

absl::Status EventLoop::Start() {
  try {
    context_ = std::make_unique<asio::io_context>(1);
    // The reactor is made by the first who needs it: now, where its lack can still be reported.
    const asio::steady_timer first(*context_);
  } catch (const boost::system::system_error& error) {
    context_.reset();
    return absl::UnavailableError(error.what());
  }
  {
    absl::MutexLock lock(&mu_);
    running_ = true;
  }
  thread_ = std::thread([this] {
    const auto stay = asio::make_work_guard(*context_);
    context_->run();
  });
  return absl::OkStatus();
}

void EventLoop::Stop() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mu_);
    running_ = false;
  }
  context_->stop();
  thread_.join();
  context_->restart();
  context_->poll();
}

bool EventLoop::Post(Task&& task) {
  absl::MutexLock lock(&mu_);
  if (!running_) return false;
  asio::post(*context_, std::move(task));
  return true;
}

struct Alarm::Timer {
  explicit Timer(asio::io_context& context) : timer(context) {}
  asio::steady_timer timer;
};

Alarm::Alarm(EventLoop* loop) : timer_(std::make_unique<Timer>(loop->context())) {}
Alarm::~Alarm() = default;

void Alarm::Set(Clock::time_point when, std::function<void()> callback) {
  timer_->timer.expires_at(when);
  timer_->timer.async_wait(
      [callback = std::move(callback)](const boost::system::error_code& error) {
        if (!error) callback();
      });
}

void Alarm::Cancel() { timer_->timer.cancel(); }

}  // namespace longspan
