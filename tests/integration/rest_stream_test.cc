// POST /encode_stream: lines in, lines out, with the flow control, the drain and the cancellation
// of the gRPC stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/integration/rest_calls.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::string Line(const std::string& id, const std::string& text) {
  return Json{{"input", {{"id", id}, {"text", text}}}}.dump() + "\n";
}

std::string Chunk(std::string_view bytes) {
  return absl::StrCat(absl::Hex(bytes.size()), "\r\n",
                      absl::string_view(bytes.data(), bytes.size()), "\r\n");
}

constexpr char kHead[] =
    "POST /encode_stream HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";

std::vector<Json> LinesOf(const std::string& body) {
  std::vector<Json> lines;
  for (const auto line : absl::StrSplit(body, '\n', absl::SkipEmpty()))
    lines.push_back(Json::parse(std::string(line)));
  return lines;
}

std::map<std::string, Json> ById(const std::string& body) {
  std::map<std::string, Json> by_id;
  for (const Json& line : LinesOf(body)) by_id[line["encoding"].value("id", "")] = line;
  return by_id;
}

class RestStreamTest : public ::testing::Test {
 protected:
  RestStreamTest() : server_(RestModel(), RestOptions()) {}
  int port() { return server_.server().http_port(); }
  TestServer server_;
};

TEST_F(RestStreamTest, EachLineHasItsAnswer) {
  const std::string body =
      Line("a", "fox") + "\r\n  \n" + Line("b", "the dog") + R"({"input":{"id":"c","text":"x"}})";
  HttpCaller caller(port());
  const HttpAnswer answer = caller.Post("/encode_stream", body);
  ASSERT_EQ(answer.code, 200);
  EXPECT_EQ(answer.header("content-type"), "application/x-ndjson");
  EXPECT_TRUE(answer.complete);
  const auto by_id = ById(answer.body);
  ASSERT_EQ(by_id.size(), 3);
  const RestAnswer one =
      Post(server_, "/encode", Json{{"inputs", {{{"id", "b"}, {"text", "the dog"}}}}});
  EXPECT_EQ(by_id.at("b")["encoding"], one.body["encodings"][0]);
  EXPECT_TRUE(by_id.at("a")["timings"].contains("totalNs"));
  // The connection serves on.
  EXPECT_EQ(caller.Get("/health").code, 200);
}

TEST_F(RestStreamTest, LinesMayComeInPiecesOfAnySize) {
  std::string body;
  for (int i = 0; i < 20; ++i) body += Line(absl::StrCat("id-", i), absl::StrCat("text ", i));
  for (const size_t size : {1, 7, 64, 1000}) {
    HttpCaller caller(port());
    std::string request = kHead;
    for (size_t at = 0; at < body.size(); at += size)
      request += Chunk(std::string_view(body).substr(at, size));
    caller.Send(request + "0\r\n\r\n");
    const HttpAnswer answer = caller.Receive();
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(ById(answer.body).size(), 20) << size;
  }
}

TEST_F(RestStreamTest, AnAnswerComesBeforeTheNextLine) {
  HttpCaller caller(port());
  caller.Send(kHead);
  caller.Send(Chunk(Line("a", "one")));
  EXPECT_EQ(caller.Receive(/*to_head=*/true).code, 200);
  EXPECT_EQ(Json::parse(caller.ReceiveChunk())["encoding"]["id"], "a");
  caller.Send(Chunk(Line("b", "two")));
  EXPECT_EQ(Json::parse(caller.ReceiveChunk())["encoding"]["id"], "b");
  caller.Send("0\r\n\r\n");
  EXPECT_EQ(caller.ReceiveChunk(), "");
}

TEST_F(RestStreamTest, ABadLineNeverEndsTheStream) {
  const std::string body = Line("a", "fox") + "no json\n" + Line("b", "") +
                           R"({"input":{"id":"c","text":"x"},"options":{"dimensions":99}})" + "\n" +
                           R"({"input":{"id":"d","text":"x"},"options":{}})" + "\n";
  HttpCaller caller(port());
  const auto by_id = ById(caller.Post("/encode_stream", body).body);
  ASSERT_EQ(by_id.size(), 5);
  EXPECT_TRUE(by_id.at("a")["encoding"].contains("vector"));
  EXPECT_THAT(by_id.at("")["encoding"]["status"]["message"].get<std::string>(),
              HasSubstr("not JSON"));
  EXPECT_EQ(by_id.at("b")["encoding"]["status"]["code"], 3);
  EXPECT_EQ(by_id.at("c")["encoding"]["status"]["details"][0]["fieldViolations"][0]["field"],
            "options.dimensions");
  EXPECT_TRUE(by_id.at("d")["encoding"].contains("vector"));
  EXPECT_TRUE(by_id.at("a")["encoding"].contains("tokensUsed"));
}

// Options hold for the lines behind them, as in the gRPC stream.
TEST_F(RestStreamTest, OptionsHoldUntilOthersCome) {
  const std::string body =
      R"({"input":{"id":"a","text":"x"},"options":{"vectorFormat":"VECTOR_FORMAT_INT8"}})"
      "\n" +
      Line("b", "x") + R"({"input":{"id":"c","text":"x"},"options":{}})";
  HttpCaller caller(port());
  auto by_id = ById(caller.Post("/encode_stream", body).body);
  EXPECT_EQ(by_id["a"]["encoding"]["vector"]["format"], "VECTOR_FORMAT_INT8");
  EXPECT_EQ(by_id["b"]["encoding"]["vector"]["format"], "VECTOR_FORMAT_INT8");
  EXPECT_EQ(by_id["c"]["encoding"]["vector"]["format"], "VECTOR_FORMAT_FLOAT32");
}

TEST_F(RestStreamTest, AnEmptyBodyHasAnEmptyAnswer) {
  HttpCaller caller(port());
  for (const char* body : {"", "\n\n", "  \r\n"}) {
    const HttpAnswer answer = caller.Post("/encode_stream", body);
    EXPECT_EQ(answer.code, 200);
    EXPECT_EQ(answer.body, "");
    EXPECT_TRUE(answer.complete);
  }
}

// A caller that waits for the word gets it, and not the answer in its place.
TEST_F(RestStreamTest, ACallerThatWaitsForTheWordGetsIt) {
  HttpCaller caller(port());
  const std::string body = Line("a", "x");
  const HttpAnswer word =
      caller.Ask(absl::StrCat("POST /encode_stream HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                              "Content-Length: ",
                              body.size(), "\r\n\r\n"));
  EXPECT_EQ(word.code, 100);
  caller.Send(body);
  const HttpAnswer answer = caller.Receive();
  EXPECT_EQ(answer.code, 200);
  EXPECT_EQ(ById(answer.body).size(), 1);
}

TEST(RestStreamLimitsTest, ALineThatIsTooLongEndsTheStream) {
  ServerOptions options = RestOptions();
  options.max_text_bytes = 1000;
  options.max_request_bytes = 2000;
  TestServer server(RestModel(), options);
  HttpCaller caller(server.server().http_port());
  caller.Send(kHead);
  caller.Send(Chunk(Line("a", "fox")));
  EXPECT_EQ(caller.Receive(/*to_head=*/true).code, 200);
  EXPECT_EQ(Json::parse(caller.ReceiveChunk())["encoding"]["id"], "a");
  caller.Send(Chunk(std::string(3000, 'x')));
  const Json last = Json::parse(caller.ReceiveChunk());
  EXPECT_EQ(last["error"]["status"], "RESOURCE_EXHAUSTED");
  EXPECT_THAT(last["error"]["message"].get<std::string>(), HasSubstr("larger than max"));
  EXPECT_EQ(caller.ReceiveChunk(), "");
}

// Far more lines than may be in work: the stream is slowed, and loses none.
TEST(RestStreamLimitsTest, AFullServerSlowsTheStreamAndLosesNothing) {
  ServerOptions options = RestOptions();
  options.max_queue_tokens = 200;
  options.max_stream_inputs = 16;
  TestServer server(RestModel(), options);
  constexpr int kLines = 500;
  std::string body;
  const std::vector<int> ids(80, 7);
  for (int i = 0; i < kLines; ++i) {
    body += Json{{"input", {{"id", absl::StrCat(i)}, {"tokenIds", {{"ids", ids}}}}}}.dump() + "\n";
  }
  HttpCaller caller(server.server().http_port());
  auto answer = std::async(std::launch::async, [&] { return caller.Post("/encode_stream", body); });
  const auto by_id = ById(answer.get().body);
  ASSERT_EQ(by_id.size(), kLines);
  for (const auto& [id, line] : by_id)
    EXPECT_TRUE(line["encoding"].contains("vector")) << line.dump();
}

// A caller that never reads is not read for ever.
TEST(RestStreamLimitsTest, ACallerThatReadsNothingIsMadeToWait) {
  FakeModel model = RestModel();
  model.width = 1024;
  TestServer server(model, RestOptions());
  HttpCaller caller(server.server().http_port());
  caller.Send(kHead);
  std::atomic<int64_t> sent = 0;
  std::thread writer([&] {
    const std::string chunk = Chunk(Line("a", "x"));
    for (int i = 0; i < 200'000 && caller.Send(chunk); ++i) sent += 1;
  });
  int64_t before = -1;
  // Each answer has 10 KB or more: what waits is bounded by the stream's 4 MiB and the kernel.
  for (int still = 0; still < 20;) {
    absl::SleepFor(absl::Milliseconds(50));
    still = sent == before ? still + 1 : 0;
    before = sent;
  }
  EXPECT_LT(*model.texts_computed, 20'000);
  shutdown(caller.socket().fd(), SHUT_RDWR);
  writer.join();
}

TEST(RestStreamLimitsTest, ACallerThatGoesCancelsItsLines) {
  FakeModel model = RestModel();
  TestServer server(model, RestOptions());
  model.gate->Close();
  {
    HttpCaller caller(server.server().http_port());
    caller.Send(kHead);
    caller.Send(Chunk(Line("a", "x") + Line("b", "y")));
    while (!model.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  }
  std::string metrics;
  for (int i = 0; i < 10'000; ++i) {
    metrics = Get(server, "/metrics").http.body;
    if (metrics.find("longspan_open_calls{method=\"http.encode_stream\"} 0") != std::string::npos)
      break;
    absl::SleepFor(absl::Milliseconds(2));
  }
  EXPECT_THAT(metrics, HasSubstr("longspan_open_calls{method=\"http.encode_stream\"} 0"));
  model.gate->Open();
  EXPECT_EQ(*model.texts_computed, 0);
}

TEST_F(RestStreamTest, ADrainAnswersWhatItHasReadAndSaysWhyItEnds) {
  HttpCaller caller(port());
  caller.Send(kHead);
  caller.Send(Chunk(Line("a", "fox")));
  EXPECT_EQ(caller.Receive(/*to_head=*/true).code, 200);
  EXPECT_EQ(Json::parse(caller.ReceiveChunk())["encoding"]["id"], "a");
  auto drained = std::async(std::launch::async, [&] { return server_.server().Drain(); });
  const Json last = Json::parse(caller.ReceiveChunk());
  EXPECT_EQ(last["error"]["status"], "UNAVAILABLE");
  EXPECT_EQ(caller.ReceiveChunk(), "");
  EXPECT_TRUE(drained.get());
}

}  // namespace
}  // namespace longspan
