// What handlers are promised: answers later and from any thread, streams with backpressure, word of
// a peer that has gone, bodies in blocks.
#include "server/http/http_exchange.h"

#include <sys/socket.h>

#include <deque>
#include <thread>

#include "tests/server/http/http_fixture.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

class HttpExchangeTest : public HttpFixture {
 protected:
  // A request whose handler has begun.
  std::shared_ptr<HttpExchange> Begin(const HttpCaller& caller, std::string_view path = "/held",
                                      std::string_view headers = "Content-Length: 0\r\n") {
    caller.Send(
        Request(absl::StrCat("POST ", absl::string_view(path.data(), path.size())), headers));
    auto exchange = held_.Next();
    EXPECT_NE(exchange, nullptr);
    return exchange;
  }
  static bool Waits(const std::atomic<int>& value) {
    absl::SleepFor(absl::Milliseconds(20));
    return value == -1;
  }
  // Sets `to` to what a callback gets.
  static HttpExchange::Sent Note(std::atomic<int>* to) {
    return [to](bool ok) { *to = ok ? 1 : 0; };
  }
};

TEST_F(HttpExchangeTest, TheHandlerSeesTheRequest) {
  Start();
  const HttpCaller caller(port());
  const auto exchange = Begin(caller, "/held?a=%20b", "X-One: 1\r\nContent-Length: 0\r\n");
  EXPECT_EQ(exchange->request().method, "POST");
  EXPECT_EQ(exchange->request().path, "/held");
  EXPECT_EQ(exchange->request().query, "a=%20b");
  EXPECT_EQ(exchange->request().Header("x-one"), "1");
  EXPECT_THAT(exchange->request().peer, ::testing::StartsWith("ipv4:127.0.0.1:"));
  EXPECT_FALSE(exchange->request().over_tls);
  EXPECT_FALSE(exchange->request().has_client_certificate);
  exchange->Answer({});
}

TEST_F(HttpExchangeTest, OneAnswerCounts_AndADroppedExchangeIsAnswered) {
  Start();
  HttpCaller caller(port());
  auto exchange = Begin(caller);
  std::atomic<int> first = -1, second = -1;
  exchange->Answer({.code = 201, .body = "first"}, Note(&first));
  exchange->Answer({.body = "second"}, Note(&second));
  EXPECT_EQ(caller.Receive().body, "first");
  EXPECT_TRUE(Eventually([&] { return first == 1 && second == 0; }));
  exchange = Begin(caller);
  exchange.reset();
  EXPECT_EQ(caller.Receive().code, 500);
  EXPECT_EQ(caller.Get("/page").code, 200);
  EXPECT_TRUE(Eventually([&] { return reports().size() == 3; }));
  EXPECT_THAT(reports(), ElementsAre("/held 201", "/held 500", "/page 200"));
}

TEST_F(HttpExchangeTest, ALargeAnswerIsSentAsItsReaderTakesIt) {
  Start();
  HttpCaller caller(port());
  const auto exchange = Begin(caller);
  std::string large;
  for (int i = 0; i < 2'000'000; ++i) absl::StrAppend(&large, i, "\n");
  std::atomic<int> sent = -1;
  exchange->Answer({.body = large}, Note(&sent));
  EXPECT_TRUE(Waits(sent)) << "more than the kernel holds";
  EXPECT_EQ(caller.Receive().body, large);
  EXPECT_TRUE(Eventually([&] { return sent == 1; }));
}

TEST_F(HttpExchangeTest, APeerThatGoes_IsToldOf_WhileTheAnswerIsComputed) {
  Start();
  for (const bool reset : {false, true}) {
    auto caller = std::make_unique<HttpCaller>(port());
    const auto exchange = Begin(*caller);
    std::atomic<int> gone = 0;
    exchange->OnGone([&gone] { ++gone; });
    EXPECT_FALSE(exchange->gone());
    if (reset) {
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      setsockopt(caller->socket().fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    caller.reset();
    EXPECT_TRUE(Eventually([&] { return gone == 1; })) << reset;
    EXPECT_TRUE(exchange->gone());
    std::atomic<int> late = 0;
    exchange->OnGone([&late] { ++late; });
    EXPECT_EQ(late, 1) << "at once";
    exchange->Answer({.body = "for nobody"});
    EXPECT_TRUE(Eventually([&] { return server_.connections() >= 0; }));
  }
  // The reset one counts as such; the other has closed, and may have read.
  EXPECT_TRUE(Eventually([&] { return reports().size() == 2; }));
}

// Requests are behind the one in work, so that nothing is read, and still the end is seen.
TEST_F(HttpExchangeTest, APeerThatGoes_IsToldOf_BehindPipelinedRequests) {
  Start();
  auto caller = std::make_unique<HttpCaller>(port());
  const auto exchange = Begin(*caller);
  std::atomic<int> gone = 0;
  exchange->OnGone([&gone] { ++gone; });
  caller->Send(std::string(100 << 10, 'x'));
  caller.reset();
  EXPECT_TRUE(Eventually([&] { return gone == 1; }));
  exchange->Answer({});
}

TEST_F(HttpExchangeTest, APeerThatOnlyEndsItsSide_StillGetsItsAnswer) {
  Start();
  HttpCaller caller(port());
  const auto exchange = Begin(caller);
  shutdown(caller.socket().fd(), SHUT_WR);
  EXPECT_TRUE(Eventually([&] { return exchange->gone(); }));
  exchange->Answer({.body = "here"});
  EXPECT_EQ(caller.Receive().body, "here");
  EXPECT_TRUE(caller.Ends());
}

TEST_F(HttpExchangeTest, OnceAnswered_NobodyIsToldThatThePeerWent) {
  Start();
  std::atomic<int> gone = 0;
  {
    HttpCaller caller(port());
    const auto exchange = Begin(caller);
    exchange->OnGone([&gone] { ++gone; });
    exchange->Answer({.body = "a"});
    EXPECT_EQ(caller.Receive().body, "a");
    EXPECT_TRUE(Eventually([&] { return reports().size() == 1; }));
  }
  EXPECT_TRUE(Eventually([&] { return server_.connections() == 0; }));
  EXPECT_EQ(gone, 0);
}

// As most callbacks do: the exchange then holds itself.
TEST_F(HttpExchangeTest, OnceAnswered_TheCallbackIsLetGo) {
  Start();
  HttpCaller caller(port());
  auto exchange = Begin(caller);
  const std::weak_ptr<HttpExchange> alive = exchange;
  exchange->OnGone([exchange] {});
  exchange->Answer({.body = "a"});
  exchange.reset();
  EXPECT_EQ(caller.Receive().body, "a");
  EXPECT_TRUE(Eventually([&] { return alive.expired(); }));
}

TEST_F(HttpExchangeTest, AStreamIsSentInChunks_AndTheConnectionStays) {
  Start();
  HttpCaller caller(port());
  const auto exchange = Begin(caller);
  exchange->BeginStream(200, "application/x-ndjson", {{"X-Two", "2"}});
  const HttpAnswer head = caller.Receive(/*to_head=*/true);
  EXPECT_EQ(head.header("transfer-encoding"), "chunked");
  EXPECT_EQ(head.header("content-type"), "application/x-ndjson");
  EXPECT_EQ(head.header("x-two"), "2");
  // Each piece arrives when it is written, not when the stream ends.
  for (const char* line : {"one\n", "two\n"}) {
    std::atomic<int> written = -1;
    exchange->Write(line, Note(&written));
    EXPECT_EQ(caller.ReceiveChunk(), line);
    EXPECT_TRUE(Eventually([&] { return written == 1; }));
  }
  exchange->Write("");  // would end the stream as a chunk
  exchange->End();
  EXPECT_EQ(caller.ReceiveChunk(), "");
  std::atomic<int> late = -1;
  exchange->Write("late", Note(&late));
  EXPECT_TRUE(Eventually([&] { return late == 0; }));
  EXPECT_EQ(caller.Get("/page").code, 200);
}

TEST_F(HttpExchangeTest, AStreamToHttp10_EndsWithItsConnection) {
  Start();
  HttpCaller caller(port());
  caller.Send("POST /held HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  exchange->BeginStream(200, "text/plain");
  exchange->Write("one ");
  exchange->Write("two");
  exchange->End();
  const HttpAnswer answer = caller.Receive();
  EXPECT_EQ(answer.header("connection"), "close");
  EXPECT_EQ(answer.body, "one two");
}

TEST_F(HttpExchangeTest, AStreamThatIsDropped_IsNotTakenForWhole) {
  Start();
  HttpCaller caller(port());
  auto exchange = Begin(caller);
  exchange->BeginStream(200, "text/plain");
  exchange->Write("half");
  exchange.reset();
  const HttpAnswer answer = caller.Receive();
  EXPECT_EQ(answer.body.substr(0, 4), answer.body.empty() ? "" : "half");
  EXPECT_FALSE(answer.complete);
}

// A writer that waits for its callback holds no more than one block beside what the kernel has.
TEST_F(HttpExchangeTest, AWriterIsHeldBackByASlowReader) {
  Start();
  HttpCaller caller(port());
  const auto exchange = Begin(caller);
  exchange->BeginStream(200, "text/plain");
  const std::string block(1 << 20, 'x');
  std::atomic<int> written = 0;
  std::function<void(bool)> next = [&](bool ok) {
    if (!ok) return;
    if (++written < 64)
      exchange->Write(block, next);
    else
      exchange->End();
  };
  exchange->Write(block, next);
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_LT(written, 32) << "sockets hold a few MiB";
  const HttpAnswer answer = caller.Receive();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body.size(), 64u << 20);
  EXPECT_TRUE(Eventually([&] { return written == 64; }));
}

TEST_F(HttpExchangeTest, AWriterThatDoesNotWait_LosesItsConnection) {
  Start({.max_unsent_bytes = 1000, .write_grace = absl::Seconds(100)});
  HttpCaller caller(port());
  const auto exchange = Begin(caller);
  exchange->BeginStream(200, "text/plain");
  std::atomic<int> ok = 0, failed = 0;
  for (int i = 0; i < 64; ++i)
    exchange->Write(std::string(1 << 20, 'x'), [&](bool sent) { ++(sent ? ok : failed); });
  EXPECT_TRUE(Eventually([&] { return ok + failed == 64; }));
  EXPECT_GT(failed, 32);
  EXPECT_TRUE(exchange->gone());
  EXPECT_FALSE(caller.Receive().complete);
}

TEST_F(HttpExchangeTest, WhoGoesInTheMiddleOfAStream_IsToldOf) {
  Start();
  auto caller = std::make_unique<HttpCaller>(port());
  const auto exchange = Begin(*caller);
  exchange->BeginStream(200, "text/plain");
  std::atomic<int> gone = 0;
  exchange->OnGone([&gone] { ++gone; });
  caller.reset();
  EXPECT_TRUE(Eventually([&] { return gone == 1; }));
  // The kernel takes a first write after the end; the next one fails.
  std::atomic<int> failed = 0;
  EXPECT_TRUE(Eventually([&] {
    exchange->Write("x", [&](bool ok) { failed += ok ? 0 : 1; });
    return failed > 0;
  }));
  exchange->End();
}

// The next block of a streamed body.
class Blocks {
 public:
  explicit Blocks(std::shared_ptr<HttpExchange> exchange) : exchange_(std::move(exchange)) {}
  BodyBlock Next() {
    exchange_->ReadBody([state = state_](BodyBlock block) {
      absl::MutexLock lock(&state->mu);
      state->blocks.push_back(std::move(block));
    });
    absl::MutexLock lock(&state_->mu);
    const auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_->mu) {
      return !state_->blocks.empty();
    };
    if (!state_->mu.AwaitWithTimeout(absl::Condition(&some), absl::Seconds(20)))
      return {.bytes = "nothing came", .end = BodyBlock::End::kFailed};
    BodyBlock block = std::move(state_->blocks.front());
    state_->blocks.pop_front();
    return block;
  }

 private:
  struct State {
    absl::Mutex mu;
    std::deque<BodyBlock> blocks;
  };
  const std::shared_ptr<HttpExchange> exchange_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST_F(HttpExchangeTest, ABodyInBlocks_IsAnsweredWhileItComes) {
  Start();
  HttpCaller caller(port());
  const auto exchange =
      Begin(caller, "/lines", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n");
  Blocks blocks(exchange);
  std::thread sender([&] {
    EXPECT_EQ(caller.Receive().code, 100) << "once the handler asks for the body";
    caller.Send("4\r\none\n\r\n");
  });
  EXPECT_EQ(blocks.Next().bytes, "one\n");
  sender.join();
  exchange->BeginStream(200, "application/x-ndjson");
  exchange->Write("answer 1\n");
  EXPECT_EQ(caller.Receive(/*to_head=*/true).code, 200);
  EXPECT_EQ(caller.ReceiveChunk(), "answer 1\n");
  caller.Send("4\r\ntwo\n\r\n0\r\n\r\n");
  std::string rest;
  BodyBlock block;
  do {
    block = blocks.Next();
    rest += block.bytes;
  } while (block.end == BodyBlock::End::kMore);
  EXPECT_EQ(rest, "two\n");
  EXPECT_EQ(block.end, BodyBlock::End::kLast);
  EXPECT_EQ(blocks.Next().end, BodyBlock::End::kLast) << "and again";
  exchange->End();
  EXPECT_EQ(caller.ReceiveChunk(), "");
  EXPECT_EQ(caller.Get("/page").code, 200);
}

TEST_F(HttpExchangeTest, NothingIsReadThatNobodyAsksFor) {
  Start();
  HttpCaller caller(port());
  const auto exchange = Begin(caller, "/lines", "Content-Length: 100000000\r\n");
  const std::string block(64 << 10, 'x');
  size_t sent = 0;
  while (sent < 100'000'000) {
    const ssize_t n =
        send(caller.socket().fd(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      absl::SleepFor(absl::Milliseconds(20));
      if (send(caller.socket().fd(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) break;
      ++sent;
    } else {
      sent += static_cast<size_t>(n);
    }
  }
  EXPECT_LT(sent, 50'000'000u);
  Blocks blocks(exchange);
  const BodyBlock first = blocks.Next();
  EXPECT_EQ(first.end, BodyBlock::End::kMore);
  EXPECT_LE(first.bytes.size(), 64u << 10);
  exchange->Answer({.body = "enough"});
  EXPECT_EQ(caller.Receive().header("connection"), "close") << "the rest is no request";
}

TEST_F(HttpExchangeTest, WhereAStreamEndsBeforeItsRequest_TheRestIsNoRequest) {
  Start();
  HttpCaller caller(port());
  const auto exchange = Begin(caller, "/lines", "Content-Length: 1000\r\n");
  std::atomic<int> failed = 0;
  exchange->BeginStream(200, "text/plain");
  EXPECT_EQ(caller.Receive(/*to_head=*/true).code, 200);
  exchange->ReadBody([&](BodyBlock block) { failed += block.end == BodyBlock::End::kFailed; });
  exchange->End();
  EXPECT_EQ(caller.ReceiveChunk(), "");
  EXPECT_TRUE(Eventually([&] { return failed == 1; }));
  caller.Send(Request("GET /page"));
  EXPECT_TRUE(caller.Ends());
}

TEST_F(HttpExchangeTest, ABodyThatBreaksOff_FailsInItsMiddle) {
  Start();
  auto caller = std::make_unique<HttpCaller>(port());
  auto exchange = Begin(*caller, "/lines", "Content-Length: 100\r\n");
  caller->Send("begun");
  Blocks blocks(exchange);
  EXPECT_EQ(blocks.Next().bytes, "begun");
  caller.reset();
  EXPECT_EQ(blocks.Next().end, BodyBlock::End::kFailed);
  EXPECT_TRUE(exchange->gone());
}

TEST_F(HttpExchangeTest, ManyThreadsMayUseOneExchange) {
  Start();
  HttpCaller caller(port());
  const auto exchange = Begin(caller);
  exchange->BeginStream(200, "text/plain");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 100; ++j) exchange->Write("0123456789");
    });
  }
  for (std::thread& thread : threads) thread.join();
  exchange->End();
  EXPECT_EQ(caller.Receive().body.size(), 8'000u);
}

}  // namespace
}  // namespace longspan
