// Peers that are slow, greedy or many. Times are short where they must pass, and far beyond the
// test's length where they must not.
#include <sys/resource.h>

#include <fstream>
#include <thread>

#include "absl/strings/str_split.h"
#include "tests/server/http/http_fixture.h"

namespace longspan {
namespace {

constexpr absl::Duration kShort = absl::Milliseconds(300);
constexpr absl::Duration kLong = absl::Seconds(100);

class HttpLimitsTest : public HttpFixture {
 protected:
  // Every time is long, but those that a test sets after this.
  static HttpServerOptions Patient() {
    return {.handshake_timeout = kLong,
            .header_timeout = kLong,
            .body_grace = kLong,
            .body_timeout = kLong,
            .write_grace = kLong,
            .idle_timeout = kLong,
            .linger_timeout = kLong};
  }
  int64_t Threads() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("Threads:", 0) == 0) return std::atoll(line.c_str() + 8);
    }
    return 0;
  }
};

TEST_F(HttpLimitsTest, EachSizeHasItsCode_AndEndsTheConnection) {
  Start();
  for (const auto& [request, code] :
       {std::pair(Request("GET /" + std::string(9'000, 'a')), 414),
        std::pair(Request("GET /page", "X: " + std::string(17'000, 'a') + "\r\n"), 431),
        std::pair(Request("POST /echo", "Content-Length: 1048577\r\n"), 413),
        std::pair(Request("POST /echo", "Transfer-Encoding: chunked\r\n") + "100001\r\n", 413),
        std::pair(std::string("GET / HTTP/3.0\r\n"), 505)}) {
    HttpCaller caller(port());
    const HttpAnswer answer = caller.Ask(request);
    EXPECT_EQ(answer.code, code);
    EXPECT_EQ(answer.header("connection"), "close");
    EXPECT_TRUE(caller.Ends());
  }
  HttpCaller caller(port());
  EXPECT_EQ(caller.Get("/page?" + std::string(8'000, 'a')).code, 200);
  EXPECT_EQ(caller.Get("/page", "X: " + std::string(15'000, 'a') + "\r\n").code, 200);
  EXPECT_EQ(caller.Post("/echo", std::string(1 << 20, 'a')).code, 200);
}

TEST_F(HttpLimitsTest, HeadersThatDoNotCome_EndTheConnection) {
  HttpServerOptions options = Patient();
  options.header_timeout = kShort;
  Start(options);
  HttpCaller silent(port());
  EXPECT_TRUE(silent.Ends()) << "nothing was asked, and nothing is said";
  HttpCaller slow(port());
  slow.Send("GET /page HTTP/1.1\r\nHost");
  EXPECT_EQ(slow.Receive().code, 408);
  EXPECT_TRUE(slow.Ends());
  // The next request of a connection has the same time, from its first byte.
  HttpCaller second(port());
  EXPECT_EQ(second.Get("/page").code, 200);
  absl::SleepFor(2 * kShort);
  second.Send("GET /page HTTP/1.1\r\nHost");
  EXPECT_EQ(second.Receive().code, 408);
}

// A byte now and then does not help.
TEST_F(HttpLimitsTest, SlowLoris_IsEnded_InHeadersAndInBodies) {
  HttpServerOptions options = Patient();
  options.header_timeout = options.body_grace = options.linger_timeout = kShort;
  Start(options);
  for (const std::string& begin :
       {std::string("GET /page HTTP/1.1\r\nX: "),
        Request("POST /echo", "Content-Length: 1000000\r\n"),
        Request("POST /echo", "Transfer-Encoding: chunked\r\n") + "fffff\r\n"}) {
    HttpCaller caller(port());
    caller.Send(begin);
    EXPECT_TRUE(Eventually([&] { return !caller.Send("x"); })) << begin;
  }
}

TEST_F(HttpLimitsTest, ABodyBelowTheLeastRate_IsEnded_OneThatFlowsIsNot) {
  HttpServerOptions options = Patient();
  options.body_grace = absl::Milliseconds(1);
  options.least_rate = 1;  // each byte gives a second
  Start(options);
  HttpCaller caller(port());
  caller.Send(Request("POST /echo", "Content-Length: 10\r\n") + "01234");
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(caller.Ask("56789").body, "0123456789");
  HttpCaller slow(port());
  const HttpAnswer answer = slow.Ask(Request("POST /echo", "Content-Length: 10\r\n"));
  EXPECT_EQ(answer.code, 408);
  EXPECT_EQ(echoes_, 1);
}

TEST_F(HttpLimitsTest, ABodyThatFlowsForTooLong_IsEnded) {
  HttpServerOptions options = Patient();
  options.body_timeout = options.linger_timeout = kShort;
  options.least_rate = 1;
  Start(options);
  HttpCaller caller(port());
  caller.Send(Request("POST /echo", "Content-Length: 1000000\r\n"));
  EXPECT_TRUE(Eventually([&] { return !caller.Send("0123456789"); }));
}

TEST_F(HttpLimitsTest, ABlockOfAStreamedBodyHasItsTime_OnlyWhileItIsAskedFor) {
  HttpServerOptions options = Patient();
  options.body_grace = kShort;
  Start(options);
  HttpCaller caller(port());
  caller.Send(Request("POST /lines", "Content-Length: 100\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  absl::SleepFor(2 * kShort);
  EXPECT_FALSE(exchange->gone());
  std::atomic<int> failed = 0;
  exchange->ReadBody([&](BodyBlock block) { failed += block.end == BodyBlock::End::kFailed; });
  EXPECT_EQ(caller.Receive().code, 408);
  EXPECT_TRUE(Eventually([&] { return failed == 1; }));
}

TEST_F(HttpLimitsTest, IdleConnectionsAreClosedInSilence_AfterTheirTime) {
  HttpServerOptions options = Patient();
  options.idle_timeout = kShort;
  Start(options);
  HttpCaller caller(port());
  EXPECT_EQ(caller.Get("/page").code, 200);
  EXPECT_TRUE(caller.Ends());
  EXPECT_EQ(reports().size(), 1u);
}

TEST_F(HttpLimitsTest, AnAnswerThatIsBeingComputedMayTakeItsTime) {
  HttpServerOptions options;
  options.handshake_timeout = options.header_timeout = options.body_grace = options.body_timeout =
      options.write_grace = options.idle_timeout = options.linger_timeout = kShort;
  Start(options);
  HttpCaller caller(port());
  caller.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  absl::SleepFor(2 * kShort);
  EXPECT_FALSE(exchange->gone());
  exchange->BeginStream(200, "text/plain");
  exchange->Write("one ");
  absl::SleepFor(2 * kShort);
  exchange->Write("two");
  exchange->End();
  EXPECT_EQ(caller.Receive().body, "one two");
}

TEST_F(HttpLimitsTest, AnAnswerThatNobodyTakes_IsGivenUp) {
  HttpServerOptions options = Patient();
  options.write_grace = kShort;
  options.least_rate = 1 << 30;
  Start(options);
  const HttpCaller caller(port());
  caller.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  std::atomic<int> sent = -1;
  exchange->Answer({.body = std::string(64 << 20, 'x')}, [&](bool ok) { sent = ok; });
  EXPECT_TRUE(Eventually([&] { return sent == 0; }));
  EXPECT_TRUE(exchange->gone());
}

// Nothing of what a refused peer sends is kept, and it is not listened to for ever.
TEST_F(HttpLimitsTest, APeerThatDoesNotGo_IsLeftAfterItsAnswer) {
  HttpServerOptions options = Patient();
  options.linger_timeout = kShort;
  Start(options);
  HttpCaller caller(port());
  EXPECT_EQ(caller.Ask("nonsense\r\n\r\n").code, 400);
  EXPECT_TRUE(Eventually([&] { return !caller.Send("more"); }));
}

TEST_F(HttpLimitsTest, BodiesOfAllConnectionsAreBoundedTogether) {
  HttpServerOptions options = Patient();
  options.max_receiving_bytes = 1'000'000;
  Start(options);
  // Announced, but not sent: takes nothing from others.
  std::vector<HttpCaller> promising;
  for (int i = 0; i < 20; ++i) {
    promising.emplace_back(port());
    promising.back().Send(Request("POST /echo", "Content-Length: 900000\r\n"));
  }
  {
    HttpCaller caller(port());
    EXPECT_EQ(caller.Post("/echo", std::string(900'000, 'x')).code, 200);
  }
  const std::string most(600'000, 'x');
  HttpCaller first(port());
  first.Send(Request("POST /echo", "Content-Length: 600001\r\n") + most);
  // Until the server has it, the other one may win.
  EXPECT_TRUE(Eventually([&] {
    HttpCaller other(port());
    const HttpAnswer answer = other.Post("/echo", most);
    return answer.code == 503 && answer.header("retry-after") == "1";
  }));
  HttpCaller small(port());
  EXPECT_EQ(small.Post("/echo", "small").code, 200);
  EXPECT_EQ(first.Ask("x").body, most + "x");
  EXPECT_EQ(small.Post("/echo", most).code, 200) << "its memory is free again";
}

// The share of a body counts until its handler takes it.
TEST_F(HttpLimitsTest, ABodyThatWaitsForItsHandler_Counts) {
  HttpServerOptions options = Patient();
  options.max_receiving_bytes = 1'000'000;
  Start(options);
  HttpCaller caller(port());
  caller.Send(Request("POST /held", "Content-Length: 900000\r\n") + std::string(900'000, 'x'));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  HttpCaller other(port());
  EXPECT_EQ(other.Post("/echo", std::string(200'000, 'x')).code, 503);
  EXPECT_EQ(exchange->TakeBody().size(), 900'000u);
  HttpCaller third(port());
  EXPECT_EQ(third.Post("/echo", std::string(200'000, 'x')).code, 200);
  exchange->Answer({});
}

// As from pools of connections: each has asked once, and stays.
TEST_F(HttpLimitsTest, FiveHundredIdleConnections_CostNoThreadAndNoTime) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 1'200) GTEST_SKIP() << "too few descriptors";
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  HttpServerOptions options = Patient();
  options.max_connections = 600;
  Start(options);
  const int64_t threads = Threads();
  std::vector<HttpCaller> idle;
  for (int i = 0; i < 512; ++i) {
    idle.emplace_back(port());
    ASSERT_EQ(idle.back().Get("/page").code, 200) << i;
  }
  EXPECT_EQ(server_.connections(), 512);
  EXPECT_EQ(Threads(), threads);
  HttpCaller caller(port());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(caller.Get("/page").code, 200);
  for (HttpCaller& one : idle) EXPECT_EQ(one.Get("/page").code, 200);
}

TEST_F(HttpLimitsTest, IdleConnectionsGiveWay_ThoseInUseDoNot) {
  HttpServerOptions options = Patient();
  options.max_connections = 4;
  Start(options);
  HttpCaller working(port());
  working.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  std::vector<HttpCaller> others;
  for (int i = 0; i < 20; ++i) {
    others.emplace_back(port());
    ASSERT_EQ(others.back().Get("/page").code, 200) << i;
  }
  EXPECT_TRUE(others.front().Ends());
  EXPECT_EQ(others.back().Get("/page").code, 200);
  exchange->Answer({.body = "done"});
  EXPECT_EQ(working.Receive().body, "done");
}

TEST_F(HttpLimitsTest, WhereAllAreInUse_ANewConnectionIsRefused) {
  HttpServerOptions options = Patient();
  options.max_connections = 2;
  std::atomic<int> refused = 0;
  options.on_refusal = [&](Refusal refusal, const std::string& client) {
    refused += refusal == Refusal::kConnections && client == "127.0.0.1";
  };
  Start(options);
  std::vector<HttpCaller> working;
  std::vector<std::shared_ptr<HttpExchange>> exchanges;
  for (int i = 0; i < 2; ++i) {
    working.emplace_back(port());
    working.back().Send(Request("POST /held", "Content-Length: 0\r\n"));
    exchanges.push_back(held_.Next());
    ASSERT_NE(exchanges.back(), nullptr);
  }
  HttpCaller third(port());
  EXPECT_TRUE(third.Ends());
  EXPECT_TRUE(Eventually([&] { return refused == 1; }));
  for (const auto& exchange : exchanges) exchange->Answer({.body = "done"});
  for (HttpCaller& one : working) EXPECT_EQ(one.Receive().body, "done");
}

TEST_F(HttpLimitsTest, OneClientDoesNotTakeAllConnections) {
  HttpServerOptions options = Patient();
  options.max_connections = 16;
  options.max_connections_per_client = 4;
  std::atomic<int> closed = 0;
  options.on_refusal = [&](Refusal, const std::string& client) { closed += client == "127.0.0.1"; };
  Start(options);
  HttpCaller other(port(), "127.0.0.9");
  EXPECT_EQ(other.Get("/page").code, 200);
  std::vector<HttpCaller> many;
  for (int i = 0; i < 30; ++i) many.emplace_back(port());
  EXPECT_TRUE(Eventually([&] { return closed == 26; })) << closed;
  EXPECT_EQ(server_.connections(), 5);
  EXPECT_EQ(other.Get("/page").code, 200);
}

TEST_F(HttpLimitsTest, RequestsBeyondTheWaitingOnes_AreToldToComeAgain) {
  std::atomic<bool> hold = true;
  std::atomic<int> begun = 0;
  server_.AddRoute("GET", "/slow", [&](const HttpRequest&) {
    ++begun;
    while (hold) absl::SleepFor(absl::Milliseconds(1));
    return HttpResponse{.body = "late"};
  });
  HttpServerOptions options = Patient();
  options.page_threads = 1;
  options.max_waiting_pages = 1;
  Start(options);
  HttpCaller first(port()), second(port()), third(port());
  first.Send(Request("GET /slow"));
  EXPECT_TRUE(Eventually([&] { return begun == 1; }));
  second.Send(Request("GET /slow"));
  // Which of the two waits is not said.
  third.Send(Request("GET /slow"));
  EXPECT_TRUE(Eventually([&] { return !reports().empty(); }));
  EXPECT_EQ(reports().front(), "/slow 503");
  EXPECT_EQ(HttpCaller(port()).Post("/echo", "hi").body, "hi") << "on other threads";
  hold = false;
  EXPECT_EQ(first.Receive().body, "late");
}

}  // namespace
}  // namespace longspan
