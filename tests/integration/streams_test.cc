// EncodeStream and EncodeTokens on a real server: flow control, slow readers, long texts. Beside
// them what crosses the wire with any call: vector formats, prompts, what truncation left.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <thread>

#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(120);
const std::string kBert = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";

// 1 GiB of vectors through a channel that sets no size, so with gRPC's own limit of 4 MiB a
// message.
TEST(EncodeTokensTest, HalfAMillionTokensTimes512_PassADefaultClient) {
  constexpr uint64_t kTokens = 524'288, kWidth = 512;
  TestServer server({.width = kWidth, .max_tokens = 1 << 20});
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // of the machine that runs the tests
  const auto stub = v1::EncoderService::NewStub(
      grpc::CreateCustomChannel(server.address(), grpc::InsecureChannelCredentials(), arguments));
  v1::EncodeTokensRequest request;
  for (uint64_t i = 0; i < kTokens; ++i)
    request.mutable_input()->mutable_token_ids()->add_ids(i % 997);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(300)));
  const auto reader = stub->EncodeTokens(&context, request);
  v1::EncodeTokensResponse part;
  uint64_t next = 0, wrong = 0;
  size_t largest = 0;
  while (reader->Read(&part)) {
    largest = std::max(largest, part.ByteSizeLong());
    ASSERT_EQ(part.first_token(), next);
    for (uint64_t t = 0; t < part.token_count(); ++t) {
      const auto row = static_cast<int>(t * kWidth);
      wrong += part.values(row) != static_cast<float>((next + t) % 997) ||
               part.values(row + 1) != static_cast<float>(next + t);
    }
    next += part.token_count();
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(next, kTokens);
  EXPECT_EQ(wrong, 0u);
  EXPECT_LT(largest, 1u << 20);
  EXPECT_EQ(part.tokens_total(), kTokens);
  EXPECT_EQ(part.tokens_used(), kTokens);
  EXPECT_FALSE(part.truncated());
}

TEST(EncodeTokensTest, TruncationSaysWhatWasRead) {
  TestServer server({.max_tokens = 6, .tokenizer_folder = kBert});
  v1::EncodeTokensRequest request;
  request.mutable_input()->set_text("the law of the state and of the party");
  request.mutable_options()->set_truncation(v1::TRUNCATION_HEAD);
  v1::EncodeTokensResponse last;
  ASSERT_TRUE(
      server.client()
          .EncodeTokens(request, kLong, [&](const v1::EncodeTokensResponse& part) { last = part; })
          .ok());
  EXPECT_EQ(last.tokens_used(), 6u);
  EXPECT_GT(last.tokens_total(), 6u);
  EXPECT_TRUE(last.truncated());
  ASSERT_EQ(last.used_text_size(), 1);
  EXPECT_EQ(last.used_text(0).begin(), 0u);
  EXPECT_LT(last.used_text(0).end(), request.input().text().size());
}

// Room for token vectors is bounded over all calls: a second large one is refused while the first
// has not been read.
TEST(EncodeTokensTest, AReaderThatDoesNotRead_HoldsNoMoreThanItsReservation) {
  TestServer server({.width = 256, .max_tokens = 1 << 20}, {.max_token_vector_bytes = 64 << 20});
  v1::EncodeTokensRequest request;
  for (uint32_t i = 0; i < 50'000; ++i)
    request.mutable_input()->mutable_token_ids()->add_ids(i % 997);  // 49 MiB
  grpc::ClientContext slow;
  server.client().Prepare(&slow, kLong);
  const auto unread = server.client().stub().EncodeTokens(&slow, request);
  v1::EncodeTokensResponse part;
  ASSERT_TRUE(unread->Read(&part));  // it runs; nothing more is read of it
  const absl::Status refused =
      server.client().EncodeTokens(request, kLong, [](const v1::EncodeTokensResponse&) {});
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("token vectors"));
  EXPECT_TRUE(server.client().Encode(IdsRequest({{1, 2}}), kLong).ok())
      << "compute does not wait for the reader";
  slow.TryCancel();
  while (unread->Read(&part)) {
  }
  absl::Status again;
  for (int i = 0; i < 100; ++i) {
    again = server.client().EncodeTokens(request, kLong, [](const v1::EncodeTokensResponse&) {});
    if (again.ok()) break;
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_TRUE(again.ok()) << "the room of a caller that went away comes back: " << again;
}

// Two texts fit into the queue; the others of the stream wait for them one by one, and none is lost
// where several threads find room at the same time.
TEST(EncodeStreamTest, AFullServer_SlowsTheStreamAndLosesNothing) {
  TestServer server({}, {.max_queue_tokens = 200, .max_stream_inputs = 16});
  grpc::ClientContext context;
  server.client().Prepare(&context, absl::Seconds(30));
  const auto stream = server.client().stub().EncodeStream(&context);
  constexpr int kTexts = 3'000;
  std::thread writer([&] {
    for (int i = 0; i < kTexts; ++i) {
      v1::EncodeStreamRequest request;
      FillIds(std::vector<uint32_t>(80, 7), request.mutable_input());
      if (!stream->Write(request)) return;
    }
    stream->WritesDone();
  });
  int answers = 0;
  v1::EncodeStreamResponse response;
  while (stream->Read(&response)) answers += response.encoding().has_status() ? 0 : 1;
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(answers, kTexts);
}

// A caller that writes and does not read: the server stops reading once its answers do not leave,
// long before it has all inputs.
TEST(EncodeStreamTest, AReaderThatDoesNotRead_StopsTheIntake) {
  FakeModel fake{.width = 65'536};  // 256 KiB an answer
  TestServer server(fake, {.max_stream_inputs = 32});
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = server.client().stub().EncodeStream(&context);
  std::thread writer([&] {
    for (uint32_t i = 0; i < 2'000; ++i) {
      v1::EncodeStreamRequest request;
      FillIds(std::vector<uint32_t>(256, 7), request.mutable_input());
      if (!stream->Write(request)) return;
    }
    stream->WritesDone();
  });
  int64_t before = -1;
  while (before != *fake.texts_computed) {  // until the server stands still
    before = *fake.texts_computed;
    absl::SleepFor(absl::Milliseconds(500));
  }
  // 32 inputs in work, 16 answers in the 4 MiB that may be unsent, and what gRPC's window takes.
  EXPECT_LT(before, 200);
  EXPECT_GT(before, 0);
  int answers = 0;
  v1::EncodeStreamResponse response;
  while (stream->Read(&response)) ++answers;
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(answers, 2'000);
  EXPECT_EQ(*fake.texts_computed, 2'000);
}

std::vector<float> Unpack(const v1::Vector& vector) {
  std::vector<float> out;
  const std::string& data = vector.data();
  for (uint32_t i = 0; i < vector.dimensions(); ++i) {
    switch (vector.format()) {
      case v1::VECTOR_FORMAT_FLOAT32:
        out.push_back(vector.values(static_cast<int>(i)));
        break;
      case v1::VECTOR_FORMAT_BFLOAT16: {
        uint16_t half = 0;
        std::memcpy(&half, data.data() + 2 * i, 2);
        out.push_back(std::bit_cast<float>(static_cast<uint32_t>(half) << 16));
        break;
      }
      case v1::VECTOR_FORMAT_INT8:
        out.push_back(static_cast<float>(static_cast<int8_t>(data[i])) * vector.scale());
        break;
      case v1::VECTOR_FORMAT_BINARY:
        out.push_back(static_cast<float>(static_cast<uint8_t>(data[i / 8]) >> (7 - i % 8) & 1));
        break;
      default:
        ADD_FAILURE() << vector.format();
    }
  }
  return out;
}

TEST(EncodeServiceTest, VectorFormatsAndDimensions_CrossTheWire) {
  TestServer server;
  v1::EncodeRequest request = IdsRequest({{100, 100, 100}});  // vector [100, 3, 0, 0]
  const auto encode = [&](v1::VectorFormat format, uint32_t dimensions) {
    request.mutable_options()->set_vector_format(format);
    request.mutable_options()->set_dimensions(dimensions);
    const auto response = server.client().Encode(request, kLong);
    EXPECT_TRUE(response.ok()) << response.status();
    return response->encodings(0).vector();
  };
  EXPECT_THAT(Unpack(encode(v1::VECTOR_FORMAT_FLOAT32, 0)), ElementsAre(100, 3, 0, 0));
  EXPECT_THAT(Unpack(encode(v1::VECTOR_FORMAT_BFLOAT16, 0)), ElementsAre(100, 3, 0, 0));
  EXPECT_THAT(Unpack(encode(v1::VECTOR_FORMAT_BINARY, 0)), ElementsAre(1, 1, 0, 0));
  const std::vector<float> int8 = Unpack(encode(v1::VECTOR_FORMAT_INT8, 0));
  EXPECT_NEAR(int8[0], 100, 0.5);
  EXPECT_NEAR(int8[1], 3, 0.5);
  EXPECT_EQ(encode(v1::VECTOR_FORMAT_FLOAT16, 0).data(),
            std::string("\x40\x56\x00\x42\x00\x00\x00\x00", 8));
}

TEST(EncodeServiceTest, PromptsAreReadInFrontOfTheText_AndUnknownOnesRefused) {
  TestServer server({.tokenizer_folder = kBert, .prompts = {{"query", "the law of "}}});
  v1::EncodeRequest request;
  request.add_inputs()->set_text("the party");
  const auto plain = server.client().Encode(request, kLong);
  ASSERT_TRUE(plain.ok()) << plain.status();
  request.mutable_options()->set_prompt_name("query");
  const auto prompted = server.client().Encode(request, kLong);
  ASSERT_TRUE(prompted.ok()) << prompted.status();
  EXPECT_GT(prompted->encodings(0).tokens_used(), plain->encodings(0).tokens_used());
  EXPECT_EQ(prompted->encodings(0).used_text(0).end(), 9u)
      << "the prompt is no part of the caller's text";
  request.mutable_options()->set_prompt_name("passage");
  EXPECT_THAT(std::string(server.client().Encode(request, kLong).status().message()),
              HasSubstr("allowed: 'query'"));
}

}  // namespace
}  // namespace longspan
