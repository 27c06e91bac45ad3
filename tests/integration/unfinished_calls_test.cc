// Callers that do not send what they began and do not read what they asked for: what the server
// keeps for them, who pays, and what a drain says of them. Beside them the requests that are small
// on the wire and large in memory.
#include <gmock/gmock.h>
#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>
#include <future>
#include <sstream>

#include "core/runtime/memory.h"
#include "tests/integration/raw_http2.h"
#include "tests/integration/server_process.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr char kEncode[] = "/longspan.v1.EncoderService/Encode";
constexpr char kEncodeStream[] = "/longspan.v1.EncoderService/EncodeStream";
constexpr char kEncodeTokens[] = "/longspan.v1.EncoderService/EncodeTokens";
constexpr char kTokenize[] = "/longspan.v1.EncoderService/Tokenize";
constexpr char kModelInfo[] = "/longspan.v1.EncoderService/GetModelInfo";
const std::string kBert = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";

// The first KiB of a message of 16 MiB.
const std::string kUnfinished = RawHttp2::Message(std::string(1024, 'x'), 16 << 20);

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1200; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(50));
  }
  return false;
}

std::string LogOf(TestServer& server) {
  server.log().Flush();
  std::ifstream file(server.log_path());
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The log is written by a thread of its own.
bool LogSays(TestServer& server, const std::string& text) {
  return Eventually([&] { return LogOf(server).find(text) != std::string::npos; });
}

// Without a key, or before the model is loaded, a call ends although its request has not come.
TEST(UnfinishedRequestTest, KeysAreCheckedBeforeTheRequestIsRead) {
  const TemporaryFolder folder;
  TestServer server({}, {.auth_keys_file = folder.WriteText("keys", "secret\n")});
  RawHttp2 caller(server.server().grpc_port());
  uint32_t stream = 1;
  for (const char* path : {kEncode, kEncodeTokens, kTokenize, kModelInfo, kEncodeStream}) {
    caller.Open(stream, path);
    caller.Data(stream, kUnfinished);
    EXPECT_TRUE(caller.AwaitEnd(stream)) << path;
    stream += 2;
  }
  caller.Open(stream, kEncode, {{"authorization", "Bearer secret"}});
  caller.Data(stream, RawHttp2::Message(IdsRequest({{1, 2}}).SerializeAsString()), true);
  EXPECT_TRUE(caller.AwaitEnd(stream));
  EXPECT_GT(caller.Received(stream), 0) << "with its key it has an answer";
}

TEST(UnfinishedRequestTest, AServerThatLoads_RefusesBeforeTheRequestIsRead) {
  TestServer server({}, {}, /*start=*/false);
  RawHttp2 caller(server.server().grpc_port());
  caller.Open(1, kEncode);
  caller.Data(1, kUnfinished);
  EXPECT_TRUE(caller.AwaitEnd(1));
}

// What is kept of a call before its request is read is one window.
TEST(UnfinishedRequestTest, TheWindowOfAStream_Is64KiB_ForAsLongAsNobodyReads) {
  TestServer server;
  RawHttp2 caller(server.server().grpc_port());
  for (uint32_t stream = 1; stream < 21; stream += 2) caller.Open(stream, kEncodeStream);
  // Data and answered pings are what gRPC's probes of bandwidth raise the window by.
  for (int i = 0; i < 20; ++i) {
    v1::EncodeStreamRequest request;
    request.mutable_input()->set_id(std::string(2000, 'i'));
    caller.Data(1, RawHttp2::Message(request.SerializeAsString()));
    ASSERT_TRUE(caller.Ping());
  }
  // The windows of streams that the server reads are opened by the size of the prefix at most.
  for (uint32_t stream = 1; stream < 21; stream += 2) EXPECT_LT(caller.Window(stream), 70'000);
}

TEST(UnfinishedRequestTest, ARequestThatDoesNotArrive_EndsItsCall) {
  TestServer server({}, {.default_deadline = absl::Seconds(1)});
  RawHttp2 caller(server.server().grpc_port());
  uint32_t stream = 1;
  for (const char* path : {kEncode, kEncodeTokens, kTokenize, kModelInfo,
                           "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}) {
    caller.Open(stream, path);
    caller.Data(stream, kUnfinished);
    stream += 2;
  }
  for (uint32_t one = 1; one < stream; one += 2) EXPECT_TRUE(caller.AwaitEnd(one)) << one;
  EXPECT_TRUE(Eventually(
      [&] { return LogOf(server).find("\"reason\":\"slow_request\"") != std::string::npos; }));
}

// Forty messages that declare 64 MiB each, in calls and in streams: the server ends the calls of
// the one who sends them before it holds much more than it may, and serves the others meanwhile.
TEST(UnfinishedRequestTest, BeyondTheMemoryForMessages_TheirSenderPays) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "a sanitizer's malloc does not tell";
  constexpr int64_t kAllowed = 32 << 20;
  ServerProcess process({"--model", LONGSPAN_EMBEDDED_MODEL, "--drain-delay", "0",
                         "--max-receiving-bytes", absl::StrCat(kAllowed)});
  const int port = process.Port();
  ASSERT_GT(port, 0);
  const auto client =
      *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
  v1::EncodeRequest small;
  small.add_inputs()->set_text("a small request");
  ASSERT_TRUE(client->Encode(small, kLong).ok());
  const int64_t rest = process.ResidentBytes();

  RawHttp2 caller(port);
  constexpr uint32_t kEnd = 81;
  for (uint32_t stream = 1; stream < kEnd; stream += 2) {
    caller.Open(stream, stream % 4 == 1 ? kEncode : kEncodeStream);
    caller.Data(stream, RawHttp2::Message("", 64 << 20));
  }
  const std::string block(16 << 10, 'x');
  int64_t sent = 0, most = 0;
  absl::Status honest;
  // Until all of them are ended, or far more was sent than may be held.
  while (caller.num_ended() < 40 && sent < int64_t{1} << 30) {
    bool waiting = true;
    for (uint32_t stream = 1; stream < kEnd; stream += 2) {
      if (caller.Ended(stream) || caller.Window(stream) < static_cast<int64_t>(block.size()))
        continue;
      caller.Data(stream, block);
      sent += static_cast<int64_t>(block.size());
      waiting = false;
    }
    if (waiting && !caller.Next()) break;
    if (sent / (16 << 20) != most / (16 << 20)) {
      most = sent;
      honest.Update(client->Encode(small, kLong).status());
      EXPECT_LT(process.ResidentBytes() - rest, 16 * kAllowed) << "after " << sent << " bytes";
    }
  }
  EXPECT_EQ(caller.num_ended(), 40u) << "after " << sent << " bytes";
  EXPECT_TRUE(honest.ok()) << honest;
  EXPECT_TRUE(client->Encode(small, kLong).ok());
}

// What gRPC does with calls of its own kind holds for ours.
TEST(OneRequestTest, ACallWithoutARequestIsInvalid_AndASecondRequestIsNotRead) {
  TestServer server;
  RawHttp2 caller(server.server().grpc_port());
  caller.Open(1, kEncode);
  caller.Data(1, "", /*end=*/true);
  EXPECT_TRUE(caller.AwaitEnd(1));
  EXPECT_EQ(caller.Received(1), 0);
  const std::string request = RawHttp2::Message(IdsRequest({{1, 2}}).SerializeAsString());
  caller.Open(3, kEncode);
  caller.Data(3, request + request + kUnfinished);
  EXPECT_TRUE(caller.AwaitEnd(3));
  EXPECT_GT(caller.Received(3), 0);
  EXPECT_TRUE(LogSays(server, "the call has no request message"));
}

TEST(OneRequestTest, AMessageBeyondTheLimit_IsRefusedAndCounted_InEveryCall) {
  TestServer server({}, {.http = "127.0.0.1:0", .max_request_bytes = 4096});
  v1::EncodeRequest large = IdsRequest({std::vector<uint32_t>(5000, 7)});
  const RawResult refused = CallEncode(server.client(), large);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("Received message larger than max"));
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = server.client().stub().EncodeStream(&context);
  v1::EncodeStreamRequest item;
  item.mutable_input()->set_id(std::string(5000, 'i'));
  stream->Write(item);
  v1::EncodeStreamResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  // Health has a limit of its own.
  const auto health = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext check;
  server.client().Prepare(&check, kLong);
  grpc::health::v1::HealthCheckRequest name;
  name.set_service(std::string(5000, 's'));
  grpc::health::v1::HealthCheckResponse status;
  EXPECT_EQ(health->Check(&check, name, &status).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(LogSays(server, " vs. 4096)"));
}

// An answer of 4 MiB is 64 KiB larger than what a caller takes that opens no window.
v1::EncodeRequest FourMiB() {
  v1::EncodeRequest request = IdsRequest({std::vector<uint32_t>(17, 7)});
  for (uint32_t i = 0; i < 16; ++i) {
    v1::Range* span = request.mutable_inputs(0)->add_spans();
    span->set_begin(i);
    span->set_end(i + 1);
  }
  request.mutable_options()->set_pooling(v1::POOLING_MEAN);
  request.mutable_options()->set_include_document_vector(false);
  request.mutable_options()->set_max_answer_bytes(8 << 20);  // what a caller could take
  return request;
}
FakeModel Wide() { return {.width = 65'536}; }  // 256 KiB a vector

TEST(UnreadAnswerTest, OneThatCanNeverFit_IsRefusedBeforeItIsComputed) {
  const FakeModel fake = Wide();
  TestServer server(fake, {.max_answer_bytes = 4 << 20});
  const RawResult refused = CallEncode(server.client(), FourMiB());
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.field, "inputs[0]");
  EXPECT_THAT(refused.status.error_message(), HasSubstr("allowed: at most 4194304"));
  EXPECT_EQ(*fake.texts_computed, 0);
  v1::EncodeRequest shorter = FourMiB();
  shorter.mutable_options()->set_vector_format(v1::VECTOR_FORMAT_BFLOAT16);
  EXPECT_TRUE(CallEncode(server.client(), shorter).status.ok()) << "half of it fits";
}

TEST(UnreadAnswerTest, TheyHoldAShare_UntilTheyAreReadOrTheirCallerGoes) {
  const FakeModel fake = Wide();
  TestServer server(fake, {.max_answer_bytes = 9 << 20});
  auto caller = std::make_unique<RawHttp2>(server.server().grpc_port());
  const std::string request = RawHttp2::Message(FourMiB().SerializeAsString());
  for (const uint32_t stream : {1, 3}) {
    caller->Open(stream, kEncode);
    caller->Data(stream, request, true);
  }
  ASSERT_TRUE(Eventually([&] { return *fake.texts_computed == 2; }));
  // The third is refused, and leaves its error at once.
  caller->Open(5, kEncode);
  caller->Data(5, request, true);
  EXPECT_TRUE(caller->AwaitEnd(5));
  EXPECT_EQ(*fake.texts_computed, 2);
  EXPECT_FALSE(caller->Ended(1) || caller->Ended(3));
  // One vector fits beside them.
  EXPECT_TRUE(server.client().Encode(IdsRequest({{1, 2}}), kLong).ok());
  caller.reset();
  EXPECT_TRUE(Eventually([&] { return CallEncode(server.client(), FourMiB()).status.ok(); }))
      << "the room of a caller that went away comes back";
}

TEST(UnreadAnswerTest, OneThatIsNotTaken_IsDroppedAfterATime) {
  TestServer server(Wide(), {.default_deadline = absl::Seconds(1)});
  RawHttp2 caller(server.server().grpc_port());
  caller.Open(1, kEncode);
  caller.Data(1, RawHttp2::Message(FourMiB().SerializeAsString()), true);
  EXPECT_TRUE(caller.AwaitEnd(1));
  EXPECT_LT(caller.Received(1), 4 << 20);
  EXPECT_TRUE(Eventually(
      [&] { return LogOf(server).find("\"reason\":\"unread_answer\"") != std::string::npos; }));
}

TEST(UnreadAnswerTest, ADrainSaysThatTheyWereNotTaken) {
  for (const char* path : {kEncode, kEncodeTokens, kEncodeStream}) {
    FakeModel fake = Wide();
    TestServer server(fake, {.drain_limit = absl::Seconds(1)});
    RawHttp2 caller(server.server().grpc_port());
    std::string request = FourMiB().SerializeAsString();
    if (path != kEncode) {  // the same input and options, alone
      v1::EncodeStreamRequest one;
      if (path == kEncodeStream) {
        *one.mutable_input() = FourMiB().inputs(0);
        *one.mutable_options() = FourMiB().options();
      } else {
        one.mutable_input()->mutable_token_ids()->add_ids(7);
        for (int i = 0; i < 16; ++i) one.mutable_input()->mutable_token_ids()->add_ids(7);
      }
      request = one.SerializeAsString();  // EncodeTokensRequest has the same fields
    }
    caller.Open(1, path);
    caller.Data(1, RawHttp2::Message(request));
    ASSERT_TRUE(Eventually([&] { return *fake.texts_computed == 1; })) << path;
    EXPECT_FALSE(server.server().Drain()) << path;
    const std::string method = std::string(path).substr(std::string(path).rfind('/') + 1);
    EXPECT_TRUE(LogSays(
        server, absl::StrCat("\"all_answered\":false,\"unanswered_calls\":{\"", method, "\":1}")))
        << LogOf(server);
  }
}

// A call whose request has not come holds no drain: nothing of it was accepted.
TEST(UnfinishedRequestTest, HoldsNoDrain) {
  TestServer server({}, {.drain_limit = absl::Seconds(600)});
  RawHttp2 caller(server.server().grpc_port());
  caller.Open(1, kEncode);
  caller.Data(1, kUnfinished);
  caller.Open(3, kEncodeStream);
  caller.Data(3, kUnfinished);
  ASSERT_TRUE(caller.Ping());
  EXPECT_TRUE(server.server().Drain());
}

TEST(UnreadAnswerTest, ADrainThatHandedEverythingOver_SaysSo) {
  TestServer server;
  ASSERT_TRUE(server.client().Encode(IdsRequest({{1, 2}, {3}}), kLong).ok());
  EXPECT_TRUE(server.server().Drain());
  EXPECT_TRUE(LogSays(server, "\"all_answered\":true,\"unanswered_calls\":{}"));
}

// 600 KB of words in several parts: as the tokenizer gives them for the whole text.
TEST(TokenizeTest, ALongText_IsAnsweredInParts_AsAWhole) {
  TestServer server({.tokenizer_folder = kBert});
  v1::TokenizeRequest request;
  std::string text;
  while (text.size() < 600'000) text += "the law of the state \xc3\xa9 and of the party ";
  request.add_texts(text);
  request.add_texts("the law");
  const auto response = server.client().Tokenize(request, kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  const auto whole = (*Tokenizer::Load(kBert))->Encode(text);
  ASSERT_TRUE(whole.ok());
  ASSERT_EQ(response->texts_size(), 2);
  ASSERT_EQ(response->texts(0).tokens_size(), whole->ids.size());
  size_t wrong = 0;
  for (size_t i = 0; i < whole->ids.size(); ++i) {
    const v1::Token& token = response->texts(0).tokens(static_cast<int>(i));
    wrong += token.id() != static_cast<uint32_t>(whole->ids[i]) ||
             token.special() != (whole->special[i] != 0) ||
             token.bytes().begin() != static_cast<uint64_t>(whole->bytes[i].begin) ||
             token.bytes().end() != static_cast<uint64_t>(whole->bytes[i].end) ||
             token.characters().begin() != static_cast<uint64_t>(whole->characters[i].begin) ||
             token.characters().end() != static_cast<uint64_t>(whole->characters[i].end);
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(response->texts(1).tokens(1).text(), "the");
}

TEST(TokenizeTest, AnAnswerBeyondTheLimit_NamesTheText) {
  TestServer server({.tokenizer_folder = kBert}, {.max_answer_bytes = 2 << 20});
  v1::TokenizeRequest request;
  request.add_texts("fine");
  std::string text;
  while (text.size() < 800'000) text += "the law of the state and of the party ";
  request.add_texts(text);
  const auto response = server.client().Tokenize(request, kLong);
  EXPECT_EQ(response.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("texts[1] asks for an answer"));
  EXPECT_TRUE(server.client().Encode(IdsRequest({{1}}), kLong).ok());
}

// A Rust library that gets no memory ends the process; one word of 1 MiB, the longest that is read
// in one piece, may need 600 MiB.
TEST(TokenizeTest, WithoutTheAddressSpace_TheCallFailsAndTheServerLives) {
  ServerProcess process({"--model", LONGSPAN_EMBEDDED_MODEL, "--drain-delay", "0"});
  const int port = process.Port();
  ASSERT_GT(port, 0);
  const auto client =
      *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
  v1::EncodeRequest small;
  small.add_inputs()->set_text("a small request");
  ASSERT_TRUE(client->Encode(small, kLong).ok());
  int64_t mapped = 0;
  std::ifstream(absl::StrCat("/proc/", process.pid(), "/statm")) >> mapped;
  const rlim_t limit = mapped * sysconf(_SC_PAGESIZE) + (512 << 20);
  const rlimit bounded{.rlim_cur = limit, .rlim_max = limit};
  ASSERT_EQ(prlimit(process.pid(), RLIMIT_AS, &bounded, nullptr), 0);
  v1::TokenizeRequest word;
  word.add_texts(std::string(1 << 20, 'a'));
  const auto refused = client->Tokenize(word, kLong);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted) << refused.status();
  v1::EncodeRequest large;
  large.add_inputs()->set_text(word.texts(0));
  large.mutable_options()->set_truncation(v1::TRUNCATION_HEAD);
  const auto encoded = client->Encode(large, kLong);
  EXPECT_EQ(encoded.status().code(), absl::StatusCode::kResourceExhausted) << encoded.status();
  EXPECT_TRUE(client->Encode(small, kLong).ok());
}

// 4 MB that would become a gigabyte: refused with its count, and the memory of the message is back.
TEST(AmplificationTest, MillionsOfEmptyMessages_CostTheirBytes) {
  ServerProcess process({"--model", LONGSPAN_EMBEDDED_MODEL, "--drain-delay", "0"});
  const int port = process.Port();
  ASSERT_GT(port, 0);
  const auto client =
      *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
  v1::EncodeRequest small;
  small.add_inputs()->set_text("a small request");
  ASSERT_TRUE(client->Encode(small, kLong).ok());
  const int64_t rest = process.ResidentBytes();
  v1::EncodeRequest inputs, spans;
  for (int i = 0; i < 2'000'000; ++i) inputs.add_inputs();
  for (int i = 0; i < 4'000'000; ++i) small.mutable_inputs(0)->add_spans();
  const RawResult many = CallEncode(*client, inputs, kLong);
  EXPECT_EQ(many.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(many.field, "inputs");
  EXPECT_THAT(many.status.error_message(), HasSubstr("has 2000000 texts; allowed: 1 to 128"));
  const RawResult empty = CallEncode(*client, small, kLong);
  EXPECT_EQ(empty.field, "inputs[0].spans") << empty.status.error_message();
  EXPECT_THAT(empty.status.error_message(), HasSubstr("are 4000000; allowed: at most 65536"));
  EXPECT_LT(process.ResidentBytes() - rest, 64 << 20);
}

TEST(StreamItemsTest, AreCountedAndLoggedByCode) {
  TestServer server({}, {.http = "127.0.0.1:0"});
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = server.client().stub().EncodeStream(&context);
  for (const uint32_t id : {1, 2, 100'000}) {  // the last is outside the vocabulary
    v1::EncodeStreamRequest request;
    FillIds({id}, request.mutable_input());
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  v1::EncodeStreamResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(LogSays(server, "\"items\":{\"OK\":2,\"INVALID_ARGUMENT\":1}")) << LogOf(server);
}

}  // namespace
}  // namespace longspan
