// EncodeTokens with token_pooling: which tokens each vector stands for, and that it is their mean,
// whatever else runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <future>
#include <new>
#include <vector>

#include "server/wire/enums.h"
#include "server/wire/vector_format.h"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr int64_t kWidth = 8;

// Rows without a pattern, the same for the same token at the same place.
void FillRow(int32_t id, int64_t position, float* row) {
  for (int64_t i = 0; i < kWidth; ++i)
    row[i] = static_cast<float>(std::sin(id * 12.9 + static_cast<double>(position * kWidth + i)));
}

FakeModel Model() {
  FakeModel fake{.width = kWidth, .max_tokens = 100000};
  fake.token_row = FillRow;
  return fake;
}

struct Answer {
  absl::Status status;
  std::vector<float> values;
  std::string data;
  std::vector<float> scales;
  std::vector<std::vector<int64_t>> tokens;  // of each vector
  int messages = 0;
};

// Which tokens each vector of a message stands for.
void AddTokens(const v1::EncodeTokensResponse& part, std::vector<std::vector<int64_t>>* out) {
  std::vector<int64_t> tokens;
  for (const v1::Range& range : part.token_ranges()) {
    for (uint64_t token = range.begin(); token < range.end(); ++token)
      tokens.push_back(static_cast<int64_t>(token));
  }
  if (part.token_ranges().empty()) {
    for (uint64_t i = 0; i < part.token_count(); ++i)
      tokens.push_back(static_cast<int64_t>(part.first_token() + i));
  }
  if (!tokens.empty()) {
    EXPECT_EQ(part.first_token(), static_cast<uint64_t>(tokens.front()));
  }
  auto next = tokens.begin();
  for (uint64_t row = 0; row < part.token_count(); ++row) {
    const bool pooled = part.tokens_per_vector_size() > 0;
    const int64_t count = pooled ? part.tokens_per_vector(static_cast<int>(row)) : 1;
    ASSERT_LE(count, tokens.end() - next);
    out->emplace_back(next, next + count);
    next += count;
  }
  EXPECT_EQ(next, tokens.end());
}

Answer EncodeTokens(TestServer& server, const v1::EncodeTokensRequest& request) {
  Answer answer;
  answer.status =
      server.client().EncodeTokens(request, kLong, [&](const v1::EncodeTokensResponse& part) {
        EXPECT_LT(part.ByteSizeLong(), 1u << 20);
        ++answer.messages;
        AddTokens(part, &answer.tokens);
        answer.values.insert(answer.values.end(), part.values().begin(), part.values().end());
        answer.scales.insert(answer.scales.end(), part.scales().begin(), part.scales().end());
        answer.data += part.data();
      });
  return answer;
}

v1::EncodeTokensRequest Request(int64_t num_tokens, uint32_t pooling, uint32_t seed = 1) {
  v1::EncodeTokensRequest request;
  for (int64_t i = 0; i < num_tokens; ++i) {
    request.mutable_input()->mutable_token_ids()->add_ids(
        static_cast<uint32_t>((i * 31 + seed * 17) % 997));
  }
  request.mutable_options()->set_token_pooling(pooling);
  return request;
}

// The mean of the rows of `tokens`, of length 1 where it is to be normalised.
std::vector<double> Mean(const std::vector<float>& rows, const std::vector<int64_t>& tokens,
                         bool normalize) {
  std::vector<double> mean(kWidth);
  double squares = 0;
  for (int64_t i = 0; i < kWidth; ++i) {
    for (const int64_t token : tokens) mean[i] += rows[token * kWidth + i];
    mean[i] /= static_cast<double>(tokens.size());
    squares += mean[i] * mean[i];
  }
  if (normalize && tokens.size() > 1) {
    for (double& value : mean) value /= std::sqrt(squares);
  }
  return mean;
}

TEST(TokenPoolingTest, EachVectorIsTheMeanOfItsTokens_InEveryFormat) {
  TestServer server(Model());
  for (const bool normalize : {false, true}) {
    for (const int64_t num_tokens : {1, 2, 3, 5, 2047, 2048, 3001}) {
      const Answer rows = EncodeTokens(server, Request(num_tokens, 0));
      EXPECT_EQ(EncodeTokens(server, Request(num_tokens, 1)).values, rows.values);
      for (const uint32_t pooling : {2, 4}) {
        v1::EncodeTokensRequest request = Request(num_tokens, pooling);
        request.mutable_options()->set_normalize(normalize);
        const Answer pooled = EncodeTokens(server, request);
        ASSERT_TRUE(pooled.status.ok()) << pooled.status;
        ASSERT_EQ(pooled.tokens.size(), static_cast<size_t>((num_tokens + pooling - 1) / pooling));
        ASSERT_EQ(pooled.values.size(), pooled.tokens.size() * kWidth);
        for (size_t row = 0; row < pooled.tokens.size(); ++row) {
          ASSERT_EQ(pooled.tokens[row].front(), static_cast<int64_t>(row * pooling));
          const std::vector<double> wanted = Mean(rows.values, pooled.tokens[row], normalize);
          for (int64_t i = 0; i < kWidth; ++i)
            ASSERT_NEAR(pooled.values[row * kWidth + i], wanted[i], 1e-5) << row;
        }
        for (const VectorFormat format : {VectorFormat::kFloat16, VectorFormat::kBFloat16,
                                          VectorFormat::kInt8, VectorFormat::kBinary}) {
          request.mutable_options()->set_vector_format(WireFormat(format));
          const Answer packed = EncodeTokens(server, request);
          std::string data;
          for (size_t row = 0; row < pooled.tokens.size(); ++row) {
            float scale = 0;
            AppendPacked({pooled.values.data() + row * kWidth, kWidth}, format, &data, &scale);
            if (format == VectorFormat::kInt8) {
              ASSERT_EQ(packed.scales[row], scale);
            }
          }
          ASSERT_EQ(packed.data, data) << "packed after it is pooled";
          ASSERT_EQ(packed.tokens, pooled.tokens);
        }
      }
    }
  }
}

TEST(TokenPoolingTest, NoMeanReachesOverWhatHeadTailLeavesOut) {
  FakeModel fake = Model();
  fake.max_tokens = 9;
  TestServer server(fake);
  v1::EncodeTokensRequest request = Request(20, 2);
  request.mutable_options()->set_truncation(v1::TRUNCATION_HEAD_TAIL);
  EXPECT_THAT(EncodeTokens(server, request).tokens,
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4), ElementsAre(5, 6),
                          ElementsAre(7, 8)));
  request.mutable_options()->set_truncation(v1::TRUNCATION_HEAD);
  EXPECT_THAT(EncodeTokens(server, request).tokens,
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5),
                          ElementsAre(6, 7), ElementsAre(8)));
}

// Token 9 is skipped in documents.
TEST(TokenPoolingTest, OfAMultiVectorModel_NeighboursAreThoseOfTheAnswer) {
  FakeModel fake{.max_tokens = 100000};
  fake.multi_vector.emplace();
  fake.multi_vector->skipped_ids = {9};
  TestServer server(fake);
  v1::EncodeTokensRequest request;
  FillIds({9, 1, 3, 9, 9, 5, 9, 7, 2, 9}, request.mutable_input());
  request.mutable_options()->set_token_pooling(2);
  const Answer answer = EncodeTokens(server, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_THAT(answer.tokens, ElementsAre(ElementsAre(1, 2), ElementsAre(5, 7), ElementsAre(8)));
  ASSERT_EQ(answer.values.size(), 12u);
  EXPECT_EQ(answer.values[0], 2) << "of the ids 1 and 3";
  EXPECT_EQ(answer.values[4], 6) << "of the ids 5 and 7";
  EXPECT_EQ(answer.values[8], 2);
  request.mutable_input()->clear_token_ids();
  FillIds({9, 9}, request.mutable_input());
  EXPECT_TRUE(EncodeTokens(server, request).tokens.empty());
  request.mutable_options()->set_text_role(v1::TEXT_ROLE_QUERY);
  EXPECT_THAT(EncodeTokens(server, request).status.ToString(),
              testing::HasSubstr("options.token_pooling is 2 with TEXT_ROLE_QUERY; allowed: 1, a "
                                 "query keeps the vector of each token"));
}

TEST(TokenPoolingTest, ALongTextOfManyGaps_IsInMessagesUnderAMebibyte) {
  FakeModel fake{.max_tokens = 100000};
  fake.multi_vector.emplace();
  fake.multi_vector->skipped_ids = {9};
  TestServer server(fake);
  v1::EncodeTokensRequest request;
  for (uint32_t i = 0; i < 100000; ++i)
    request.mutable_input()->mutable_token_ids()->add_ids(i % 2 == 0 ? 9 : 10 + i % 900);
  request.mutable_options()->set_token_pooling(4);
  const Answer answer = EncodeTokens(server, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(answer.tokens.size(), 12500u);
  EXPECT_GT(answer.messages, 1);
  for (size_t row = 0; row < answer.tokens.size(); ++row) {
    const auto first = static_cast<int64_t>(8 * row + 1);
    ASSERT_THAT(answer.tokens[row], ElementsAre(first, first + 2, first + 4, first + 6));
    ASSERT_EQ(answer.values[row * 4 + 1], static_cast<float>(first + 3)) << "the mean position";
  }
}

// Memory runs out in the middle of a text's rows: the batch runs again in halves and hands in its
// rows a second time.
TEST(TokenPoolingTest, IsTheSameInABatchThatRunsOutOfMemory_AsAlone) {
  std::atomic<int> batch_texts = 0, faults = 0;
  FakeModel fake = Model();
  fake.fault = [&](int32_t, int32_t texts) {
    batch_texts = texts;
    return absl::OkStatus();
  };
  fake.token_row = [&](int32_t id, int64_t position, float* row) {
    if (position == 1501 && batch_texts > 1) {
      ++faults;
      throw std::bad_alloc();
    }
    FillRow(id, position, row);
  };
  TestServer server(fake);
  const auto requests = {Request(2001, 4, 1), Request(2002, 4, 2), Request(2003, 4, 3)};
  std::vector<Answer> alone;
  for (const v1::EncodeTokensRequest& request : requests)
    alone.push_back(EncodeTokens(server, request));
  for (int i = 0; i < 100 && faults == 0; ++i) {
    fake.gate->Close();
    std::vector<std::future<Answer>> calls;
    for (const v1::EncodeTokensRequest& request : requests) {
      calls.push_back(
          std::async(std::launch::async, [&] { return EncodeTokens(server, request); }));
      absl::SleepFor(absl::Milliseconds(10));  // the first one is at work, the others queue up
    }
    fake.gate->Open();
    for (size_t call = 0; call < calls.size(); ++call) {
      const Answer answer = calls[call].get();
      ASSERT_TRUE(answer.status.ok()) << answer.status;
      EXPECT_EQ(answer.values, alone[call].values);
      EXPECT_EQ(answer.tokens, alone[call].tokens);
    }
  }
  EXPECT_GT(faults, 0);
}

// 4,000 tokens of 8 values: 128,000 bytes, or a quarter of that.
TEST(TokenPoolingTest, LessRoomIsReserved) {
  TestServer server(Model(), {.max_token_vector_bytes = 32'000});
  const Answer whole = EncodeTokens(server, Request(4000, 1));
  EXPECT_EQ(whole.status.code(), absl::StatusCode::kInvalidArgument) << whole.status;
  EXPECT_THAT(std::string(whole.status.message()), HasSubstr("128000 bytes"));
  const Answer pooled = EncodeTokens(server, Request(4000, 4));
  EXPECT_TRUE(pooled.status.ok()) << pooled.status;
  EXPECT_EQ(pooled.tokens.size(), 1000u);
}

TEST(TokenPoolingTest, OtherFactors_AndOtherCalls_AreRefused) {
  TestServer server(Model());
  const Answer answer = EncodeTokens(server, Request(10, 3));
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(answer.status.ToString(),
              testing::HasSubstr("options.token_pooling is 3; allowed: 1, 2, 4, 0 = 1"));
  v1::EncodeRequest request = IdsRequest({{1, 2, 3}});
  request.mutable_options()->set_token_pooling(2);
  const RawResult refused = CallEncode(server.client(), request);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.field, "options.token_pooling");
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = server.client().stub().EncodeStream(&context);
  v1::EncodeStreamRequest item;
  *item.mutable_input() = request.inputs(0);
  *item.mutable_options() = request.options();
  ASSERT_TRUE(stream->Write(item));
  stream->WritesDone();
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.encoding().status().message(), HasSubstr("options.token_pooling is 2"));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace longspan
