// One connection and its requests: order, keep-alive, bodies, and what a request may look like.
#include "tests/server/http/http_fixture.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpConnectionTest : public HttpFixture {};

TEST_F(HttpConnectionTest, OneConnectionCarriesManyRequests) {
  Start();
  HttpCaller caller(port());
  for (int i = 0; i < 100; ++i) {
    const HttpAnswer answer = caller.Get(absl::StrCat("/page?", i));
    ASSERT_EQ(answer.code, 200);
    EXPECT_EQ(answer.body, absl::StrCat("query=", i, "\n"));
    EXPECT_EQ(answer.header("connection"), "");
    EXPECT_THAT(answer.header("date"), HasSubstr(" GMT"));
  }
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(HttpConnectionTest, TheCallerChoosesWhetherTheConnectionStays) {
  Start();
  {
    HttpCaller caller(port());
    const HttpAnswer answer = caller.Get("/page", "Connection: close\r\n");
    EXPECT_EQ(answer.header("connection"), "close");
    EXPECT_TRUE(caller.Ends());
  }
  {
    HttpCaller caller(port());
    EXPECT_EQ(caller.Ask("GET /page HTTP/1.0\r\n\r\n").header("connection"), "close");
    EXPECT_TRUE(caller.Ends());
  }
  HttpCaller caller(port());
  const std::string keep = "GET /page HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
  EXPECT_EQ(caller.Ask(keep).header("connection"), "keep-alive");
  EXPECT_EQ(caller.Ask(keep).code, 200);
}

// The first is answered last. Of the others none is handed to a handler before its turn.
TEST_F(HttpConnectionTest, PipelinedRequestsAreAnsweredInOrder_OneAtATime) {
  Start();
  HttpCaller caller(port());
  std::string requests;
  for (int i = 0; i < 3; ++i)
    requests += Request("POST /held", "Content-Length: 1\r\n") + std::to_string(i);
  caller.Send(requests + Request("GET /page?last"));
  for (int i = 0; i < 3; ++i) {
    const auto exchange = held_.Next();
    ASSERT_NE(exchange, nullptr);
    EXPECT_EQ(exchange->request().body, std::to_string(i));
    absl::SleepFor(absl::Milliseconds(5));  // time for a next one to come, wrongly
    EXPECT_EQ(held_.count(), i + 1);
    exchange->Answer({.body = absl::StrCat("answer ", i)});
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(caller.Receive().body, absl::StrCat("answer ", i));
  EXPECT_EQ(caller.Receive().body, "query=last\n");
}

// What waits is bounded: the kernel's buffers fill up, and the sender has to wait.
TEST_F(HttpConnectionTest, WhileAnAnswerIsComputed_LittleIsReadAhead) {
  Start();
  HttpCaller caller(port());
  caller.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  const std::string next = Request("GET /page");
  size_t sent = 0;
  // 64 MiB are far more than two sockets hold.
  while (sent < (64 << 20)) {
    const ssize_t n =
        send(caller.socket().fd(), next.data(), next.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n != static_cast<ssize_t>(next.size())) break;
    sent += next.size();
    if (sent % (1 << 20) < next.size()) absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_LT(sent, 64 << 20);
  exchange->Answer({});
  EXPECT_EQ(caller.Receive().code, 200);
  EXPECT_EQ(caller.Receive().body, "query=\n");
}

TEST_F(HttpConnectionTest, BodiesComeWithALength_InChunks_AndInPieces) {
  Start();
  HttpCaller caller(port());
  EXPECT_EQ(caller.Post("/echo", "hello").body, "hello");
  EXPECT_EQ(caller.Post("/echo", "").body, "");
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(caller.Post("/echo", large).body, large);
  const std::string chunked = Request("POST /echo", "Transfer-Encoding: chunked\r\n") +
                              "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nContent-Length: 9\r\n\r\n" +
                              Request("GET /page?next");
  EXPECT_EQ(caller.Ask(chunked).body, "abcd");
  EXPECT_EQ(caller.Receive().body, "query=next\n");
  for (const char byte : chunked) caller.Send(std::string_view(&byte, 1));
  EXPECT_EQ(caller.Receive().body, "abcd");
  EXPECT_EQ(caller.Receive().body, "query=next\n");
}

TEST_F(HttpConnectionTest, ACallerThatWaitsForContinue_GetsIt_OrTheRefusalAtOnce) {
  Start();
  HttpCaller caller(port());
  const std::string expect = "Expect: 100-Continue\r\n";
  EXPECT_EQ(caller.Ask(Request("POST /echo", "Content-Length: 2\r\n" + expect)).code, 100);
  EXPECT_EQ(caller.Ask("ab").body, "ab");
  // It did not wait: nothing to say.
  EXPECT_EQ(caller.Ask(Request("POST /echo", "Content-Length: 2\r\n" + expect) + "cd").body, "cd");
  EXPECT_EQ(caller.Ask(Request("GET /page", expect)).code, 200) << "no body, nothing to wait for";
  for (const auto& [request, code] :
       {std::pair(Request("POST /echo", "Content-Length: 9999999\r\n" + expect), 413),
        std::pair(Request("POST /no", "Content-Length: 2\r\n" + expect), 404),
        std::pair(Request("POST /echo", "Content-Length: 2\r\nExpect: money\r\n"), 417)}) {
    HttpCaller refused(port());
    EXPECT_EQ(refused.Ask(request).code, code);
    EXPECT_TRUE(refused.Ends());
  }
  EXPECT_EQ(echoes_, 2);
}

TEST_F(HttpConnectionTest, HeadIsGetWithoutABody_AndTheNextAnswerIsFound) {
  Start();
  HttpCaller caller(port());
  caller.Send(Request("HEAD /page?abc") + Request("GET /page"));
  const HttpAnswer head = caller.Receive(/*to_head=*/true);
  EXPECT_EQ(head.code, 200);
  EXPECT_EQ(head.header("content-length"), "10");
  EXPECT_EQ(caller.Receive().body, "query=\n");
  caller.Send(Request("HEAD /nothing"));
  EXPECT_EQ(caller.Receive(/*to_head=*/true).code, 404);
  caller.Send(Request("HEAD /echo"));
  EXPECT_EQ(caller.Receive(/*to_head=*/true).code, 405);
}

TEST_F(HttpConnectionTest, RefusalsByTheServer_SpeakTheCallersLanguage) {
  Start();
  HttpCaller caller(port());
  const HttpAnswer text = caller.Get("/nothing");
  EXPECT_EQ(text.header("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(text.body, "no such page\n");
  const HttpAnswer json = caller.Get("/nothing", "Accept: text/html, Application/JSON\r\n");
  EXPECT_EQ(json.header("content-type"), "application/json");
  EXPECT_EQ(json.body,
            "{\"error\":{\"message\":\"no such page\",\"type\":\"invalid_request_error\","
            "\"code\":\"not_found\"}}\n");
  const HttpAnswer method = caller.Ask(Request("DELETE /page"));
  EXPECT_EQ(method.code, 405);
  EXPECT_EQ(method.header("allow"), "GET, HEAD");
  EXPECT_EQ(caller.Get("/page").code, 200) << "none of these ends the connection";
  EXPECT_TRUE(Eventually([&] { return reports().size() == 4; }));
  EXPECT_THAT(reports(), ElementsAre("other 404", "other 404", "other 405", "/page 200"));
}

TEST_F(HttpConnectionTest, RoutesAreExact_WhateverTheTargetIsWrittenLike) {
  Start();
  HttpCaller caller(port());
  EXPECT_EQ(caller.Ask("GET http://other/page?a HTTP/1.1\r\nHost: t\r\n\r\n").body, "query=a\n");
  EXPECT_EQ(caller.Get("/p%61ge").code, 200);
  for (const char* path : {"/page/", "//page", "/./page", "/../page", "/a/../page", "/PAGE"})
    EXPECT_EQ(caller.Get(path).code, 404) << path;
  EXPECT_EQ(caller.Get("/%2e%2e/etc/passwd").code, 404);
}

// All of request_head_test and body_reader_test stands for what follows: whatever is no request
// ends the connection, and nothing behind it is looked at.
TEST_F(HttpConnectionTest, NothingBehindABadRequestIsRead) {
  Start();
  const std::string smuggled = Request("POST /held", "Content-Length: 0\r\n");
  for (const std::string& bad :
       {Request("POST /echo", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        Request("POST /echo", "Content-Length: 3\r\nContent-Length: 4\r\n") + "abc",
        Request("POST /echo", "Transfer-Encoding: chunked\r\n") + "zz\r\n",
        Request("POST /echo", "Transfer-Encoding: chunked\r\n") + "3\r\nabcXX",
        Request("GET /page", "X: 1\r\n folded\r\n"), std::string("nonsense\r\n\r\n"),
        Request("GET /page", std::string("X: \0\r\n", 6)), std::string("GET /page HTTP/1.1\n\n")}) {
    HttpCaller caller(port());
    const HttpAnswer answer = caller.Ask(bad + smuggled);
    EXPECT_EQ(answer.code, 400) << bad;
    EXPECT_EQ(answer.header("connection"), "close");
    EXPECT_TRUE(caller.Ends());
  }
  EXPECT_EQ(held_.count(), 0);
  EXPECT_EQ(echoes_, 0);
}

// The body of a refused request is not taken for the next one.
TEST_F(HttpConnectionTest, TheBodyOfARefusedRequest_IsNoRequest) {
  Start();
  const std::string body = Request("POST /held", "Content-Length: 0\r\n");
  HttpCaller caller(port());
  const HttpAnswer answer = caller.Ask(
      Request("POST /nothing", absl::StrCat("Content-Length: ", body.size(), "\r\n")) + body);
  EXPECT_EQ(answer.code, 404);
  EXPECT_TRUE(caller.Ends());
  EXPECT_EQ(held_.count(), 0);
}

// A connection that is closed while its peer sends is reset, and a reset may overtake the answer.
TEST_F(HttpConnectionTest, AnAnswerIsNotLostWhereThePeerStillSends) {
  Start({.linger_timeout = absl::Seconds(100)});
  HttpCaller caller(port());
  caller.Send(Request("POST /echo", "Content-Length: 2000000\r\n"));
  const std::string block(16 << 10, 'x');
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(caller.Send(block));
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(caller.Receive().code, 413);
}

TEST_F(HttpConnectionTest, AfterDrain_EachAnswerIsTheLast) {
  Start();
  HttpCaller caller(port()), idle(port());
  EXPECT_EQ(caller.Get("/page").header("connection"), "");
  EXPECT_EQ(idle.Get("/page").code, 200);
  caller.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  server_.Drain();
  EXPECT_FALSE(server_.AwaitAnswered(absl::ZeroDuration()));
  exchange->Answer({.body = "late"});
  const HttpAnswer answer = caller.Receive();
  EXPECT_EQ(answer.body, "late");
  EXPECT_EQ(answer.header("connection"), "close");
  EXPECT_TRUE(caller.Ends());
  EXPECT_TRUE(server_.AwaitAnswered(absl::Seconds(20)));
  EXPECT_EQ(idle.Get("/page").header("connection"), "close") << "it was answered, once more";
}

TEST_F(HttpConnectionTest, StopEndsIdleConnectionsAtOnce_AndWaitsForAnswers) {
  Start({.stop_limit = absl::Seconds(20)});
  HttpCaller idle(port()), working(port()), begun(port());
  EXPECT_EQ(idle.Get("/page").code, 200);
  begun.Send("GET /pa");
  working.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  std::thread stopping([this] { server_.Stop(); });
  EXPECT_TRUE(idle.Ends());
  EXPECT_TRUE(begun.Ends());
  exchange->Answer({.body = "late"});
  EXPECT_EQ(working.Receive().body, "late");
  EXPECT_TRUE(working.Ends());
  stopping.join();
  EXPECT_FALSE(RawSocket(port()).connected());
}

TEST_F(HttpConnectionTest, StopDoesNotWaitForEver) {
  Start({.stop_limit = absl::Milliseconds(10)});
  HttpCaller caller(port());
  caller.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  server_.Stop();
  EXPECT_TRUE(caller.Ends());
  EXPECT_TRUE(exchange->gone());
  bool ok = true;
  exchange->Answer({.body = "too late"}, [&ok](bool sent) { ok = sent; });
  EXPECT_FALSE(ok);
}

}  // namespace
}  // namespace longspan
