// The HTTP server under peers that connect and do not ask, or ask slowly.
#include "server/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/raw_socket.h"

namespace longspan {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Ask(int port, const std::string& request) {
  const RawSocket socket(port);
  socket.Send(request);
  return socket.ReceiveAll();
}
std::string Get(int port, const std::string& path) {
  return Ask(port,
             absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
}

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    server_.AddRoute("GET", "/page", [](const HttpRequest& request) {
      return HttpResponse{.body = absl::StrCat("query=", request.query, "\n")};
    });
    server_.AddRoute("POST", "/echo",
                     [](const HttpRequest& request) { return HttpResponse{.body = request.body}; });
    server_.AddRoute("GET", "/slow", [this](const HttpRequest&) {
      ++slow_;
      while (hold_) absl::SleepFor(absl::Milliseconds(1));
      return HttpResponse{.body = "late\n"};
    });
    const absl::Status started =
        server_.Start("127.0.0.1:0", {.max_body_bytes = 1'000, .max_connections = 64});
    EXPECT_TRUE(started.ok()) << started;
  }
  ~HttpServerTest() override { hold_ = false; }

  std::atomic<bool> hold_{true};
  std::atomic<int> slow_{0};
  HttpServer server_;
};

TEST_F(HttpServerTest, AnswersRoutesWithQueryBodyAndCode) {
  EXPECT_THAT(Get(server_.port(), "/page?a=1&b"), EndsWith("\r\n\r\nquery=a=1&b\n"));
  EXPECT_THAT(
      Ask(server_.port(),
          "POST /echo HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
      EndsWith("\r\n\r\nhello"));
  EXPECT_THAT(Ask(server_.port(),
                  "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                  "Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
              EndsWith("\r\n\r\nabc"));
  EXPECT_THAT(Ask(server_.port(), "nonsense\r\n\r\n"), testing::Not(HasSubstr("200")));
}

TEST_F(HttpServerTest, ALargeBodyIsRefused_AnnouncedOrNot) {
  EXPECT_THAT(Ask(server_.port(), "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
  const std::string chunk = "400\r\n" + std::string(0x400, 'x') + "\r\n";
  EXPECT_THAT(Ask(server_.port(),
                  "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                  "\r\n" +
                      chunk + "0\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

// Connections that say nothing, that stop inside a header, and that are in the middle of a body.
TEST_F(HttpServerTest, TwoThousandUnfinishedRequests_DoNotDelayOne) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const int many = static_cast<int>(std::min<rlim_t>(2'000, limit.rlim_cur / 2));
  const std::string parts[] = {"", "GET /page HTTP/1.1\r\nHost: te",
                               "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\nhalf"};
  std::vector<RawSocket> unfinished;
  for (int i = 0; i < many; ++i) {
    unfinished.emplace_back(server_.port());
    unfinished.back().Send(parts[i % 3]);
    if (i % 100 != 0) continue;
    EXPECT_THAT(Get(server_.port(), "/page"), StartsWith("HTTP/1.1 200 ")) << i;
  }
  for (int i = 0; i < 20; ++i)
    EXPECT_THAT(Get(server_.port(), "/page"), StartsWith("HTTP/1.1 200 "));
  EXPECT_LE(server_.connections(), 64);
}

// As a probe that dials a gRPC port which does not answer.
TEST_F(HttpServerTest, HandlersThatWaitDoNotHoldTheOthers) {
  std::vector<RawSocket> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back(server_.port());
    waiting.back().Send("GET /slow HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  }
  while (slow_ < 3) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_THAT(Get(server_.port(), "/page"), StartsWith("HTTP/1.1 200 "));
  hold_ = false;
  for (const RawSocket& socket : waiting) EXPECT_THAT(socket.ReceiveAll(), EndsWith("late\n"));
}

TEST_F(HttpServerTest, StopAnswersWhatIsAsked) {
  const RawSocket waiting(server_.port());
  waiting.Send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
  while (slow_ < 1) absl::SleepFor(absl::Milliseconds(1));
  hold_ = false;
  server_.Stop();
  EXPECT_FALSE(RawSocket(server_.port()).connected());
}

}  // namespace
}  // namespace longspan
