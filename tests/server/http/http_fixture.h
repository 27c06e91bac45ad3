// A server with the routes that the tests of the HTTP room ask for.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/http/http_server.h"
#include "tests/http_caller.h"

namespace longspan {

// Waits until it is true, for longer than any machine needs, and less than the 20 s after which the
// kernel itself gives peers up.
template <typename Condition>
bool Eventually(const Condition& condition) {
  for (int i = 0; i < 10'000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return false;
}

// Exchanges that wait for the test to answer them, in the order of their arrival.
class HeldExchanges {
 public:
  void Add(std::shared_ptr<HttpExchange> exchange) {
    absl::MutexLock lock(&mu_);
    held_.push_back(std::move(exchange));
    ++count_;
  }
  std::shared_ptr<HttpExchange> Next() {
    absl::MutexLock lock(&mu_);
    const auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !held_.empty(); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&some), absl::Seconds(20))) return nullptr;
    auto next = std::move(held_.front());
    held_.erase(held_.begin());
    return next;
  }
  int count() {
    absl::MutexLock lock(&mu_);
    return count_;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::shared_ptr<HttpExchange>> held_ ABSL_GUARDED_BY(mu_);
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

//   GET  /page    "query=..."          POST /echo   the body, at once
//   POST /held    what the test says   POST /lines  what the test says, the body in blocks
class HttpFixture : public ::testing::Test {
 protected:
  HttpFixture() {
    server_.AddRoute("GET", "/page", [](const HttpRequest& request) {
      return HttpResponse{.body = absl::StrCat("query=", request.query, "\n")};
    });
    server_.AddAsyncRoute("POST", "/echo", {.max_body_bytes = 1 << 20, .cors = true},
                          [this](std::shared_ptr<HttpExchange> exchange) {
                            ++echoes_;
                            exchange->Answer({.body = exchange->TakeBody()});
                          });
    server_.AddAsyncRoute("POST", "/held", {}, [this](auto exchange) { held_.Add(exchange); });
    server_.AddAsyncRoute("POST", "/lines", {.stream_body = true},
                          [this](auto exchange) { held_.Add(exchange); });
  }
  ~HttpFixture() override { server_.Stop(); }

  void Start(HttpServerOptions options = {}) {
    options.on_exchange = [this](const HttpReport& report) {
      absl::MutexLock lock(&mu_);
      reports_.push_back(absl::StrCat(std::string(report.route), " ", report.code));
    };
    const absl::Status started = server_.Start("127.0.0.1:0", std::move(options));
    ASSERT_TRUE(started.ok()) << started;
  }
  int port() const { return server_.port(); }
  std::vector<std::string> reports() {
    absl::MutexLock lock(&mu_);
    return reports_;
  }

  absl::Mutex mu_;
  std::vector<std::string> reports_ ABSL_GUARDED_BY(mu_);
  std::atomic<int> echoes_ = 0;
  HeldExchanges held_;
  HttpServer server_;  // last: its threads use all of the above
};

inline std::string Request(std::string_view line, std::string_view headers = "") {
  return absl::StrCat(absl::string_view(line.data(), line.size()), " HTTP/1.1\r\nHost: t\r\n",
                      absl::string_view(headers.data(), headers.size()), "\r\n");
}

}  // namespace longspan
