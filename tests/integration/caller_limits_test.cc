// What a caller says of itself, on a real server: the largest answer that it takes, the longest
// text that it wants, the ids of its inputs in errors, the settings behind its deadline.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/tei_calls.h"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLong = absl::Seconds(20);
constexpr char kAnswerField[] = "options.max_answer_bytes";

// A text of `spans` spans of one token each, whose vectors have 1,024 values: 4 KiB a span.
FakeModel WideModel() {
  FakeModel fake;
  fake.width = 1024;
  return fake;
}
v1::EncodeRequest SpansRequest(int spans) {
  v1::EncodeRequest request = IdsRequest({std::vector<uint32_t>(static_cast<size_t>(spans), 7)});
  request.mutable_options()->set_span_policy(v1::SPAN_POLICY_FIXED);
  request.mutable_options()->set_span_tokens(1);
  return request;
}
uint64_t SizeOf(const RawResult& result) { return result.response.ByteSizeLong(); }

TEST(CallersAnswerTest, OneThatTheCallerCannotTake_IsRefusedBeforeItIsComputed) {
  const FakeModel fake = WideModel();
  TestServer server(fake);
  // The client of the tests takes 64 MiB, and says nothing of it here: so 4 MiB hold.
  const RawResult refused = CallEncode(server.client(), SpansRequest(1100));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.field, kAnswerField);
  EXPECT_EQ(refused.reason, "CALLER_MAX_ANSWER_BYTES");
  EXPECT_THAT(refused.status.error_message(),
              AllOf(HasSubstr("allows 4194304 bytes (gRPC's default)"),
                    HasSubstr("grpc.max_receive_message_length"), HasSubstr("EncodeStream")));
  EXPECT_EQ(*fake.texts_computed, 0);
  EXPECT_TRUE(CallEncode(server.client(), SpansRequest(900)).status.ok());
  // Our client says what its channel takes.
  const auto large = server.client().Encode(SpansRequest(1100), kLong);
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_GT(large->ByteSizeLong(), 4u << 20);
}

// The bound holds to the byte, but for the timings, which nobody knows before.
TEST(CallersAnswerTest, TheBoundIsTheSizeOfTheMessage) {
  TestServer server(WideModel());
  for (const v1::VectorFormat format :
       {v1::VECTOR_FORMAT_FLOAT32, v1::VECTOR_FORMAT_INT8, v1::VECTOR_FORMAT_BINARY}) {
    v1::EncodeRequest request = SpansRequest(40);
    request.mutable_options()->set_vector_format(format);
    *request.add_inputs() = request.inputs(0);
    const RawResult free = CallEncode(server.client(), request);
    ASSERT_TRUE(free.status.ok()) << free.status.error_message();
    // What the timings may have and this answer's have not.
    constexpr uint64_t kTimings = 68;
    request.mutable_options()->set_max_answer_bytes(SizeOf(free) + kTimings);
    EXPECT_TRUE(CallEncode(server.client(), request).status.ok()) << format;
    request.mutable_options()->set_max_answer_bytes(SizeOf(free) - kTimings);
    EXPECT_EQ(CallEncode(server.client(), request).reason, "CALLER_MAX_ANSWER_BYTES") << format;
  }
}

TEST(CallersAnswerTest, OfAStream_EachAnswerCountsByItself_AndTheOthersGoOn) {
  TestServer server(WideModel());
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = server.client().stub().EncodeStream(&context);
  for (const int spans : {900, 1100, 900}) {
    v1::EncodeRequest one = SpansRequest(spans);
    v1::EncodeStreamRequest request;
    *request.mutable_input() = std::move(*one.mutable_inputs(0));
    request.mutable_input()->set_id(absl::StrCat(spans));
    *request.mutable_options() = one.options();
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  v1::EncodeStreamResponse response;
  int good = 0, refused = 0;
  while (stream->Read(&response)) {
    const bool large = response.encoding().id() == "1100";
    EXPECT_EQ(response.encoding().has_status(), large);
    EXPECT_THAT(response.encoding().status().message(), HasSubstr(large ? kAnswerField : ""));
    ++(large ? refused : good);
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(good, 2);
  EXPECT_EQ(refused, 1);
}

TEST(CallersAnswerTest, MessagesOfTokens_AreNoLargerThanTheCallerTakes) {
  FakeModel fake = WideModel();
  fake.max_tokens = 100000;
  TestServer server(fake);
  v1::EncodeTokensRequest request;
  FillIds(std::vector<uint32_t>(500, 7), request.mutable_input());
  request.mutable_input()->set_id("contract-17");
  for (const uint64_t most : {30'000, 200'000}) {
    request.mutable_options()->set_max_answer_bytes(most);
    uint64_t tokens = 0;
    const absl::Status status =
        server.client().EncodeTokens(request, kLong, [&](const v1::EncodeTokensResponse& part) {
          EXPECT_LE(part.ByteSizeLong(), most);
          tokens += part.token_count();
        });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(tokens, 500u);
  }
  request.mutable_options()->set_max_answer_bytes(4096);  // less than one vector
  const absl::Status small = server.client().EncodeTokens(request, kLong, [](const auto&) {});
  EXPECT_EQ(small.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(small.message()), HasSubstr("allowed: at least 20480"));
}

TEST(CallersAnswerTest, TokensOfTexts_AreRefusedWhenTheyPassIt) {
  TestServer server({.tokenizer_folder = LONGSPAN_FIXTURES "/tokenizers/bert-uncased"});
  v1::TokenizeRequest request;
  for (int i = 0; i < 4; ++i) {
    std::string* text = request.add_texts();
    for (int word = 0; word < 500; ++word) *text += "one ";
  }
  const auto free = server.client().Tokenize(request, kLong);
  ASSERT_TRUE(free.ok()) << free.status();
  request.set_max_answer_bytes(free->ByteSizeLong() + 24);  // lengths take 6 bytes at most
  EXPECT_TRUE(server.client().Tokenize(request, kLong).ok());
  request.set_max_answer_bytes(free->ByteSizeLong() - 1);
  const absl::Status status = server.client().Tokenize(request, kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("max_answer_bytes allows"), HasSubstr("[field max_answer_bytes]")));
}

// The clients of tei.v1 cannot say what they take, and most that ask for a vector of each token
// have raised their limit: only the server's holds (docs/clients.md).
TEST(CallersAnswerTest, OfTei_OnlyTheServersLimitHolds) {
  FakeModel fake = WideModel();
  fake.tokenizer_folder = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";
  TestServer server(fake);
  std::string text;
  for (int word = 0; word < 1100; ++word) text += "one ";
  tei::v1::EmbedAllRequest request;
  request.set_inputs(text);
  tei::v1::EmbedAllResponse response;
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stub = tei::v1::Embed::NewStub(server.client().channel());
  const grpc::Status status = stub->EmbedAll(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_GT(response.ByteSizeLong(), 4u << 20);
}

// Of a server that takes `most` tokens, and of a request that does: the same answers and errors.
TEST(CallersMaxTokensTest, IsAsIfTheServersWereSoMany) {
  TestServer large({.max_tokens = 4096});
  for (const int64_t most : {1, 4, 7, 100}) {
    TestServer small({.max_tokens = 4096}, {.max_tokens = most});
    for (int truncation = 0; truncation <= 5; ++truncation) {
      for (const size_t length : {1, 4, 5, 23}) {
        std::vector<uint32_t> ids(length);
        for (size_t i = 0; i < length; ++i) ids[i] = static_cast<uint32_t>(10 + i);
        v1::EncodeRequest request = IdsRequest({ids});
        request.mutable_options()->set_truncation(static_cast<v1::Truncation>(truncation));
        const RawResult of_server = CallEncode(small.client(), request);
        request.mutable_options()->set_max_tokens(static_cast<uint64_t>(most));
        const RawResult of_request = CallEncode(large.client(), request);
        EXPECT_EQ(of_request.status.error_code(), of_server.status.error_code());
        EXPECT_EQ(of_request.field, of_server.field);
        EXPECT_EQ(of_request.reason, of_server.reason);
        if (!of_server.status.ok()) continue;
        EXPECT_EQ(of_request.response.encodings(0).SerializeAsString(),
                  of_server.response.encodings(0).SerializeAsString())
            << most << " " << truncation << " " << length;
      }
    }
  }
}

TEST(CallersMaxTokensTest, HoldsForTokenVectors_AndIsNoMoreThanTheServers) {
  TestServer server({.max_tokens = 64});
  v1::EncodeTokensRequest request;
  FillIds(std::vector<uint32_t>(30, 7), request.mutable_input());
  request.mutable_options()->set_max_tokens(10);
  request.mutable_options()->set_truncation(v1::TRUNCATION_HEAD);
  uint64_t tokens = 0;
  const auto count = [&](const v1::EncodeTokensResponse& part) { tokens += part.token_count(); };
  EXPECT_TRUE(server.client().EncodeTokens(request, kLong, count).ok());
  EXPECT_EQ(tokens, 10u);
  v1::EncodeRequest larger = IdsRequest({{1}});
  larger.mutable_options()->set_max_tokens(65);
  const RawResult refused = CallEncode(server.client(), larger);
  EXPECT_EQ(refused.field, "options.max_tokens");
  EXPECT_EQ(refused.reason, "MAX_TOKENS");
  EXPECT_THAT(refused.status.error_message(), HasSubstr("is 65; allowed: 1 to 64"));
}

TEST(InputContentTest, ATextAndTokenIds_AreRefusedByEachCall) {
  TestServer server({.tokenizer_folder = LONGSPAN_FIXTURES "/tokenizers/bert-uncased"});
  // inputs { text: "t", token_ids { ids: 1 } }
  const std::string bytes("\x0a\x07\x12\x01t\x1a\x02\x08\x01", 9);
  grpc::GenericStub stub(server.client().channel());
  for (const char* method : {"Encode", "EncodeTokens"}) {
    grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    server.client().Prepare(&context, kLong);
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, absl::StrCat("/longspan.v1.EncoderService/", method), {}, &request,
                   &response, [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_THAT(status.error_message(), HasSubstr("has text and token_ids; allowed: one of them"));
  }
}

TEST(ErrorsNameTheInputTest, ByItsId_WhateverRefusesIt) {
  FakeModel fake;
  fake.max_tokens = 64;
  fake.fault = [](int32_t first_id, int32_t) {
    return first_id == 666 ? absl::ResourceExhaustedError("too little memory") : absl::OkStatus();
  };
  TestServer server(fake);
  const auto message = [&](const std::vector<std::vector<uint32_t>>& texts) {
    const RawResult result = CallEncode(server.client(), IdsRequest(texts));
    google::rpc::Status detailed;
    detailed.ParseFromString(result.status.error_details());
    for (const auto& any : detailed.details()) {
      google::rpc::BadRequest bad;
      if (!any.UnpackTo(&bad)) continue;
      EXPECT_EQ(bad.field_violations(0).description(), result.status.error_message());
    }
    return result.status.error_message();
  };
  EXPECT_THAT(message({{1}, std::vector<uint32_t>(65, 1)}),
              HasSubstr("inputs[1].token_ids (id 'text-1') has 65 tokens"));
  EXPECT_THAT(message({{1}, {5000}}),
              HasSubstr("inputs[1].token_ids.ids[0] (id 'text-1') is 5000"));
  EXPECT_THAT(message({{1}, {2}, {666}}), HasSubstr("inputs[2] (id 'text-2')"));
  // The log has no ids.
  server.log().Flush();
  std::stringstream log;
  log << std::ifstream(server.log_path()).rdbuf();
  EXPECT_THAT(log.str(), AllOf(HasSubstr("has 65 tokens"), Not(HasSubstr("text-1"))));
}

TEST(DeadlineErrorsTest, NameThePredictedTime_AndBothSettings) {
  FakeModel fake;
  fake.seconds_per_token = 1;
  TestServer server(
      fake, {.max_deadline = absl::Seconds(100), .default_deadline = absl::Milliseconds(300)});
  const v1::EncodeRequest request = IdsRequest({std::vector<uint32_t>(30, 1)});
  const RawResult unreachable = CallEncode(server.client(), request, absl::Seconds(3));
  EXPECT_EQ(unreachable.reason, "DEADLINE_UNREACHABLE");
  EXPECT_THAT(unreachable.status.error_message(),
              AllOf(HasSubstr("computing 30s"), HasSubstr("is the caller's own"),
                    HasSubstr("1m40s (--max-deadline)"), HasSubstr("300ms (--default-deadline)"),
                    HasSubstr("split it or use EncodeStream"), HasSubstr("(id 'text-0')")));
  // Patience with predictions lets a lone text begin, and the default deadline ends it.
  fake.gate->Close();
  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status passed = server.client().stub().Encode(&context, IdsRequest({{1}}), &response);
  fake.gate->Open();
  EXPECT_EQ(passed.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(passed.error_message(),
              AllOf(HasSubstr("the deadline passed after 300ms"),
                    HasSubstr("computing was predicted to take 1s"),
                    HasSubstr("the caller set no deadline"), HasSubstr("--default-deadline, 300ms"),
                    HasSubstr("1m40s (--max-deadline)")));
}

TEST(DeadlineErrorsTest, OneThatIsCutSaysSo_AndSoDoesThatOfAnItem) {
  FakeModel fake;
  TestServer server(
      fake, {.max_deadline = absl::Milliseconds(400), .default_deadline = absl::Milliseconds(200)});
  fake.gate->Close();
  const RawResult cut = CallEncode(server.client(), IdsRequest({{1}}), absl::Seconds(20));
  EXPECT_EQ(cut.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(cut.status.error_message(),
              HasSubstr("was cut to the server's --max-deadline, 400ms"));
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = server.client().stub().EncodeStream(&context);
  v1::EncodeStreamRequest request;
  FillIds({1}, request.mutable_input());
  ASSERT_TRUE(stream->Write(request));
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  fake.gate->Open();
  EXPECT_EQ(response.encoding().status().code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(response.encoding().status().message(),
              HasSubstr("the server's --default-deadline, 200ms"));
}

}  // namespace
}  // namespace longspan
