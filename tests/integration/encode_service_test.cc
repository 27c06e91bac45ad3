// The service on a real server: answers, codes and details of refusals, deadlines, cancels,
// overload, drain, streams.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

TEST(EncodeServiceTest, Encode_AnswersEachTextInOrder) {
  TestServer server;
  const auto response = server.client().Encode(IdsRequest({{1, 2, 3}, {10}, {4, 6}}), kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->encodings_size(), 3);
  EXPECT_EQ(response->encodings(0).id(), "text-0");
  EXPECT_FLOAT_EQ(response->encodings(0).vector().values(0), 2);
  EXPECT_FLOAT_EQ(response->encodings(1).vector().values(0), 10);
  EXPECT_FLOAT_EQ(response->encodings(2).vector().values(0), 5);
  EXPECT_EQ(response->encodings(2).tokens_total(), 2u);
  EXPECT_FALSE(response->encodings(2).truncated());
  EXPECT_GT(response->timings().total_ns(), 0u);
  EXPECT_GE(response->timings().batch_texts(), 1u);
}

TEST(EncodeServiceTest, Truncation_SaysWhatWasRead) {
  TestServer server({.max_tokens = 4});
  v1::EncodeRequest request = IdsRequest({{1, 2, 3, 4, 5, 6}});
  EXPECT_EQ(CallEncode(server.client(), request).status.error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  const std::map<v1::Truncation, float> means = {{v1::TRUNCATION_HEAD, 2.5f},
                                                 {v1::TRUNCATION_TAIL, 4.5f},
                                                 {v1::TRUNCATION_HEAD_TAIL, 3.5f},
                                                 {v1::TRUNCATION_WINDOWS, 3.5f}};
  for (const auto& [truncation, mean] : means) {
    request.mutable_options()->set_truncation(truncation);
    const RawResult result = CallEncode(server.client(), request);
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    const v1::Encoding& encoding = result.response.encodings(0);
    EXPECT_FLOAT_EQ(encoding.vector().values(0), mean) << truncation;
    EXPECT_EQ(encoding.tokens_total(), 6u);
    EXPECT_EQ(encoding.truncated(), truncation != v1::TRUNCATION_WINDOWS);
  }
}

TEST(EncodeServiceTest, BadInput_IsRefusedWithCodeFieldAndAllowedRange) {
  TestServer server({}, {.max_texts_per_request = 4});
  struct Row {
    const char* name;
    std::function<void(v1::EncodeRequest*)> spoil;
    grpc::StatusCode code;
    const char* field;
    const char* text;
  };
  const std::vector<Row> rows = {
      {"no inputs", [](auto* r) { r->clear_inputs(); }, grpc::INVALID_ARGUMENT, "inputs",
       "allowed: 1 to 4"},
      {"too many inputs",
       [](auto* r) {
         for (int i = 0; i < 4; ++i) *r->add_inputs() = r->inputs(0);
       },
       grpc::INVALID_ARGUMENT, "inputs", "has 5 texts"},
      {"no content", [](auto* r) { r->add_inputs(); }, grpc::INVALID_ARGUMENT, "inputs[1]",
       "text or token_ids"},
      {"no ids", [](auto* r) { r->add_inputs()->mutable_token_ids(); }, grpc::INVALID_ARGUMENT,
       "inputs[1].token_ids.ids", "is empty"},
      {"empty text", [](auto* r) { r->add_inputs()->set_text(""); }, grpc::INVALID_ARGUMENT,
       "inputs[1].text", "is empty"},
      {"text without tokenizer", [](auto* r) { r->add_inputs()->set_text("x"); },
       grpc::FAILED_PRECONDITION, "inputs[1].text", "no tokenizer"},
      {"id outside vocabulary",
       [](auto* r) {
         FillIds({5, 1000}, r->add_inputs());
       },
       grpc::INVALID_ARGUMENT, "inputs[1].token_ids.ids[1]", "is 1000; allowed: below 1000"},
      {"too long", [](auto* r) { FillIds(std::vector<uint32_t>(4097, 1), r->add_inputs()); },
       grpc::INVALID_ARGUMENT, "inputs[1].token_ids",
       "has 4097 tokens; this model takes at most 4096"},
      {"bad enum", [](auto* r) { r->mutable_options()->set_pooling(static_cast<v1::Pooling>(77)); },
       grpc::INVALID_ARGUMENT, "options.pooling", "is 77"},
      {"dimensions", [](auto* r) { r->mutable_options()->set_dimensions(5); },
       grpc::INVALID_ARGUMENT, "options.dimensions", "at most 4"},
      {"span outside",
       [](auto* r) {
         auto* s = r->mutable_inputs(0)->add_spans();
         s->set_begin(1);
         s->set_end(9);
       },
       grpc::INVALID_ARGUMENT, "inputs[0].spans[0]", "allowed: begin < end <= 3"},
      {"unknown prompt", [](auto* r) { r->mutable_options()->set_prompt_name("query"); },
       grpc::INVALID_ARGUMENT, "options.prompt_name", "token_ids"},
      {"global attention",
       [](auto* r) { r->mutable_options()->set_global_attention(v1::GLOBAL_ATTENTION_CLS); },
       grpc::FAILED_PRECONDITION, "options.global_attention", "has none"},
      {"hashing", [](auto* r) { r->mutable_options()->set_num_hashes(4); },
       grpc::FAILED_PRECONDITION, "options.num_hashes", "does not hash"},
      {"span tokens", [](auto* r) { r->mutable_options()->set_span_policy(v1::SPAN_POLICY_FIXED); },
       grpc::INVALID_ARGUMENT, "options.span_tokens", "at least 1"},
  };
  for (const Row& row : rows) {
    v1::EncodeRequest request = IdsRequest({{1, 2, 3}});
    row.spoil(&request);
    const RawResult result = CallEncode(server.client(), request);
    EXPECT_EQ(result.status.error_code(), row.code)
        << row.name << ": " << result.status.error_message();
    EXPECT_EQ(result.field, row.field) << row.name;
    EXPECT_THAT(result.status.error_message(), HasSubstr(row.text)) << row.name;
  }
}

TEST(EncodeServiceTest, InvalidUtf8_IsInvalidArgumentAndNamesTheField) {
  TestServer server;
  grpc::GenericStub stub(server.client().channel());
  // inputs { text: <two bytes that are no UTF-8> }
  const std::string bytes("\x0a\x04\x12\x02\xff\xfe", 6);
  grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/longspan.v1.EncoderService/Encode", {}, &request, &response,
                 [&](grpc::Status status) { done.set_value(status); });
  const grpc::Status status = done.get_future().get();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("longspan.v1.Input.text is not valid UTF-8"));
}

TEST(EncodeServiceTest, MessageOverTheLimit_IsResourceExhausted) {
  TestServer server({}, {.max_request_bytes = 4096});
  EXPECT_EQ(
      CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(9000, 7)})).status.error_code(),
      grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(EncodeServiceTest, Gzip_IsRefused) {
  TestServer server;
  const RawResult result = CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(2000, 7)}),
                                      kLong, GRPC_COMPRESS_GZIP);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNIMPLEMENTED)
      << result.status.error_message();
}

TEST(EncodeServiceTest, Deadline_EndsTheCallAndTheWork) {
  FakeModel fake;
  TestServer server(fake);
  fake.gate->Close();
  EXPECT_EQ(CallEncode(server.client(), IdsRequest({{1, 2}}), absl::Milliseconds(200))
                .status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  fake.gate->Open();
  EXPECT_TRUE(server.client().Encode(IdsRequest({{1, 2}}), kLong).ok());
}

TEST(EncodeServiceTest, Cancel_FreesTheQueue) {
  FakeModel fake;
  TestServer server(fake, {.max_queue_tokens = 10});
  fake.gate->Close();
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  std::promise<grpc::Status> done;
  const v1::EncodeRequest request = IdsRequest({{1, 2, 3, 4, 5, 6, 7, 8}});
  v1::EncodeResponse response;
  server.client().stub().async()->Encode(&context, &request, &response,
                                         [&](grpc::Status status) { done.set_value(status); });
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(CallEncode(server.client(), request).status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  context.TryCancel();
  EXPECT_EQ(done.get_future().get().error_code(), grpc::StatusCode::CANCELLED);
  fake.gate->Open();
  const absl::Time until = absl::Now() + absl::Seconds(5);
  bool free = false;
  while (!free && absl::Now() < until) free = CallEncode(server.client(), request).status.ok();
  EXPECT_TRUE(free) << "the permit of the cancelled call came back";
}

TEST(EncodeServiceTest, Overload_IsRefusedAtOnceWithRetryInfo) {
  FakeModel fake;
  fake.seconds_per_token = 0.01;
  TestServer server(fake, {.max_queue_tokens = 100});
  fake.gate->Close();
  auto first = std::async(std::launch::async, [&] {
    return CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(90, 1)}));
  });
  absl::SleepFor(absl::Milliseconds(100));
  const absl::Time start = absl::Now();
  const RawResult refused = CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(90, 1)}));
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_GT(refused.retry_seconds, 0);
  EXPECT_FALSE(refused.pushback.empty());
  fake.gate->Open();
  EXPECT_TRUE(first.get().status.ok());
}

TEST(EncodeServiceTest, DeadlineThatCannotBeMet_IsRefusedBeforeAnyWork) {
  FakeModel fake;
  fake.seconds_per_token = 1;
  TestServer server(fake);
  fake.gate->Close();
  auto first = std::async(std::launch::async, [&] {
    return CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(15, 1)}));
  });
  absl::SleepFor(absl::Milliseconds(100));
  const RawResult refused =
      CallEncode(server.client(), IdsRequest({std::vector<uint32_t>(15, 1)}), absl::Seconds(3));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
      << refused.status.error_message();
  EXPECT_EQ(refused.reason, "DEADLINE_UNREACHABLE");
  fake.gate->Open();
  EXPECT_TRUE(first.get().status.ok());
}

TEST(EncodeServiceTest, Drain_AnswersWhatWasAcceptedAndRefusesTheRest) {
  FakeModel fake;
  TestServer server(fake);
  fake.gate->Close();
  auto accepted = std::async(std::launch::async, [&] {
    return CallEncode(server.client(), IdsRequest({{1, 2, 3}}));
  });
  absl::SleepFor(absl::Milliseconds(100));
  auto drained = std::async(std::launch::async, [&] { return server.server().Drain(); });
  absl::SleepFor(absl::Milliseconds(100));
  const RawResult refused = CallEncode(server.client(), IdsRequest({{1}}));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GT(refused.retry_seconds, 0);
  fake.gate->Open();
  EXPECT_TRUE(accepted.get().status.ok());
  EXPECT_TRUE(drained.get());
}

TEST(EncodeServiceTest, EncodeTokens_StreamsEveryRowInOrderInSmallMessages) {
  TestServer server({.width = 256, .max_tokens = 100000});
  v1::EncodeTokensRequest request;
  for (uint32_t i = 0; i < 5000; ++i)
    request.mutable_input()->mutable_token_ids()->add_ids(i % 997);
  uint64_t next = 0;
  int with_timings = 0;
  const absl::Status status =
      server.client().EncodeTokens(request, kLong, [&](const v1::EncodeTokensResponse& part) {
        EXPECT_LT(part.ByteSizeLong(), 1u << 20);
        EXPECT_EQ(part.first_token(), next);
        EXPECT_EQ(part.dimensions(), 256u);
        for (uint64_t t = 0; t < part.token_count(); ++t) {
          EXPECT_EQ(part.values(static_cast<int>(t * 256)), static_cast<float>((next + t) % 997));
        }
        next += part.token_count();
        with_timings += part.has_timings();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(next, 5000u);
  EXPECT_EQ(with_timings, 1);
}

TEST(EncodeServiceTest, EncodeStream_AnswersEachItemOnceAndOutlivesBadOnes) {
  TestServer server({}, {.max_stream_inputs = 8});
  grpc::ClientContext context;
  server.client().Prepare(&context, absl::Seconds(60));
  const auto stream = server.client().stub().EncodeStream(&context);
  constexpr int kItems = 500;
  std::thread writer([&] {
    for (int i = 0; i < kItems; ++i) {
      v1::EncodeStreamRequest request;
      request.mutable_input()->set_id(std::to_string(i));
      if (i % 10 != 3)  // every tenth has no content
        FillIds({static_cast<uint32_t>(i), static_cast<uint32_t>(i)}, request.mutable_input());
      ASSERT_TRUE(stream->Write(request));
    }
    stream->WritesDone();
  });
  std::map<std::string, int> answers;
  v1::EncodeStreamResponse response;
  while (stream->Read(&response)) {
    if (answers.size() < 20) absl::SleepFor(absl::Milliseconds(5));  // a slow reader at first
    const v1::Encoding& encoding = response.encoding();
    ++answers[encoding.id()];
    const int i = std::stoi(encoding.id());
    if (i % 10 == 3) {
      EXPECT_EQ(encoding.status().code(), grpc::StatusCode::INVALID_ARGUMENT);
    } else {
      EXPECT_FALSE(encoding.has_status()) << encoding.status().message();
      EXPECT_FLOAT_EQ(encoding.vector().values(0), static_cast<float>(i));
    }
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(answers.size(), static_cast<size_t>(kItems));
  for (const auto& [id, count] : answers) EXPECT_EQ(count, 1) << id;
}

TEST(EncodeServiceTest, ConcurrentLoadWithRandomCancels_LosesAndDoublesNothing) {
  TestServer server;
  std::atomic<int> good{0}, cancelled{0}, other{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 8; ++c) {
    callers.emplace_back([&, c] {
      std::mt19937 random(c);
      for (int i = 0; i < 250; ++i) {
        const uint32_t id = random() % 1000;
        const v1::EncodeRequest request =
            IdsRequest({std::vector<uint32_t>(1 + random() % 200, id)});
        grpc::ClientContext context;
        server.client().Prepare(&context, kLong);
        v1::EncodeResponse response;
        std::promise<grpc::Status> done;
        server.client().stub().async()->Encode(
            &context, &request, &response, [&](grpc::Status status) { done.set_value(status); });
        if (random() % 4 == 0) context.TryCancel();
        const grpc::Status status = done.get_future().get();
        if (status.ok()) {
          ++good;
          EXPECT_FLOAT_EQ(response.encodings(0).vector().values(0), static_cast<float>(id));
        } else {
          ++(status.error_code() == grpc::StatusCode::CANCELLED ? cancelled : other);
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good + cancelled, 8 * 250);
  EXPECT_EQ(other, 0);
  EXPECT_TRUE(server.server().Drain()) << "no permit leaked";
}

TEST(EncodeServiceTest, KeysAreAskedFor_HealthIsOpen) {
  const TemporaryFolder folder;
  const std::string path = folder.WriteText("keys", "# keys\nsecret-one\n");
  TestServer server({}, {.auth_keys_file = path});
  EXPECT_EQ(CallEncode(server.client(), IdsRequest({{1}})).status.error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  const auto wrong =
      *Client::Connect({.server = server.address(), .key = "secret-two", .retry = false});
  const RawResult refused = CallEncode(*wrong, IdsRequest({{1}}));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_FALSE(absl::StrContains(refused.status.error_message(), "secret"));
  const auto right =
      *Client::Connect({.server = server.address(), .key = "secret-one", .retry = false});
  EXPECT_TRUE(right->Encode(IdsRequest({{1}}), kLong).ok());
  EXPECT_EQ(*server.client().Health("", kLong), "SERVING");
}

// Behind a proxy all callers have one address. What one of them has in the queue keeps itself out,
// but not another, who has a small part of it kept free.
TEST(EncodeServiceTest, NamedKeysTellCallersOfOneAddressApart) {
  const TemporaryFolder folder;
  FakeModel fake;
  TestServer server(fake, {.max_queue_tokens = 1000,
                           .auth_keys_file = folder.WriteText("keys", "one key-1\ntwo key-2\n")});
  const auto connect = [&](const char* key) {
    return *Client::Connect({.server = server.address(), .key = key, .retry = false});
  };
  const auto one = connect("key-1"), two = connect("key-2");
  const v1::EncodeRequest small = IdsRequest({std::vector<uint32_t>(20, 1)});
  fake.gate->Close();
  const auto call = [](Client& client, const v1::EncodeRequest& request) {
    return std::async(std::launch::async, [&client, request] {
      return CallEncode(client, request).status.error_code();
    });
  };
  auto large = call(*one, IdsRequest({std::vector<uint32_t>(990, 1)}));
  while (!fake.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(call(*one, small).get(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  auto other = call(*two, small);
  EXPECT_EQ(other.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout)
      << "it waits in the queue";
  fake.gate->Open();
  EXPECT_EQ(large.get(), grpc::StatusCode::OK);
  EXPECT_EQ(other.get(), grpc::StatusCode::OK);
}

TEST(EncodeServiceTest, GetModelInfo_TellsTheLimitsInForce) {
  TestServer server({}, {.max_uncut_bytes = 1000,
                         .max_batch_tokens = 2000,
                         .max_queue_tokens = 3000,
                         .max_queue_bytes = 4000,
                         .max_queue_seconds = 5,
                         .max_texts_per_request = 7,
                         .max_text_bytes = 8000,
                         .max_request_bytes = 9000,
                         .max_concurrent_streams = 10,
                         .max_stream_inputs = 11,
                         .max_token_vector_bytes = 12000,
                         .max_answer_bytes = 14000,
                         .max_receiving_bytes = 15000,
                         .max_deadline = absl::Seconds(13),
                         .default_deadline = absl::Seconds(12)});
  const auto info = server.client().GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->model(), "fake");
  EXPECT_FALSE(info->has_tokenizer());
  const v1::Limits& limits = info->limits();
  EXPECT_EQ(limits.max_tokens(), 4096u);
  EXPECT_EQ(limits.max_batch_tokens(), 2000u);
  EXPECT_EQ(limits.max_queue_tokens(), 3000u);
  EXPECT_EQ(limits.max_queue_bytes(), 4000u);
  EXPECT_EQ(limits.max_queue_seconds(), 5);
  EXPECT_EQ(limits.max_uncut_bytes(), 1000u);
  EXPECT_EQ(limits.max_texts_per_request(), 7u);
  EXPECT_EQ(limits.max_text_bytes(), 8000u);
  EXPECT_EQ(limits.max_request_bytes(), 9000u);
  EXPECT_EQ(limits.max_concurrent_streams(), 10u);
  EXPECT_EQ(limits.max_stream_inputs(), 11u);
  EXPECT_EQ(limits.max_token_vector_bytes(), 12000u);
  EXPECT_EQ(limits.max_answer_bytes(), 14000u);
  EXPECT_EQ(limits.max_receiving_bytes(), 15000u);
  EXPECT_EQ(limits.max_deadline_seconds(), 13);
  EXPECT_EQ(limits.default_deadline_seconds(), 12);
  EXPECT_EQ(limits.max_spans_per_text(), 65536u);
  for (int i = 0; i < v1::Limits::descriptor()->field_count(); ++i) {
    const auto* field = v1::Limits::descriptor()->field(i);
    EXPECT_TRUE(limits.GetReflection()->HasField(limits, field)) << field->name() << " is not told";
  }
  EXPECT_EQ(info->libtorch_version(), "2.11.0");
}

TEST(EncodeServiceTest, Tokenize_IsFailedPreconditionWithoutTokenizer) {
  TestServer server;
  v1::TokenizeRequest request;
  request.add_texts("x");
  EXPECT_EQ(server.client().Tokenize(request, kLong).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace longspan
