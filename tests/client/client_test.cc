// The client library against a fake server: it retries, keeps to deadlines, returns errors as the
// server gave them, and takes large messages.
#include "client/client.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "tests/client/fake_server.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr absl::Duration kLong = absl::Seconds(30);

class ClientTest : public testing::Test {
 protected:
  std::unique_ptr<Client> Connect(ClientOptions options = {}) {
    options.server = server_.address();
    return *Client::Connect(options);
  }
  static v1::EncodeRequest Request(const std::string& text = "text") {
    v1::EncodeRequest request;
    request.add_inputs()->set_text(text);
    return request;
  }
  // Makes the attempts before number `succeeds_at` fail with `code`.
  void FailUntil(int succeeds_at, grpc::StatusCode code) {
    server_.set_on_encode([=](int attempt, grpc::ServerContext*, const v1::EncodeRequest&,
                              v1::EncodeResponse* response) {
      if (attempt < succeeds_at) return grpc::Status(code, "loading");
      response->add_encodings()->set_tokens_total(7);
      return grpc::Status::OK;
    });
  }

  FakeServer server_;
};

TEST_F(ClientTest, Encode_IsTriedAgain_WhileTheServerIsUnavailable) {
  FailUntil(3, grpc::StatusCode::UNAVAILABLE);
  const auto response = Connect()->Encode(Request(), kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->encodings(0).tokens_total(), 7u);
  EXPECT_EQ(server_.encode_calls(), 3);
}

TEST_F(ClientTest, Encode_IsTriedAgain_WhileTheServerIsOverloaded) {
  FailUntil(2, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Connect()->Encode(Request(), kLong).ok());
  EXPECT_EQ(server_.encode_calls(), 2);
}

TEST_F(ClientTest, TheServerIsTold_WhatTheChannelTakes) {
  const auto client = Connect();
  EXPECT_TRUE(client->Encode(Request(), kLong).ok());
  EXPECT_EQ(server_.last_request().options().max_answer_bytes(), 64u << 20);
  v1::EncodeRequest request = Request();
  request.mutable_options()->set_max_answer_bytes(1000);
  EXPECT_TRUE(client->Encode(request, kLong).ok());
  EXPECT_EQ(server_.last_request().options().max_answer_bytes(), 1000u);
  EXPECT_TRUE(client->Tokenize({}, kLong).ok());
  EXPECT_EQ(server_.last_tokenize().max_answer_bytes(), 64u << 20);
  uint64_t of_stream = 0;
  server_.set_on_item([&](const v1::EncodeStreamRequest& item, v1::EncodeStreamResponse*) {
    of_stream = item.options().max_answer_bytes();
  });
  bool given = false;
  const auto next = [&]() -> std::optional<v1::Input> {
    return std::exchange(given, true) ? std::nullopt : std::make_optional(Request().inputs(0));
  };
  EXPECT_TRUE(client->EncodeStream({}, next, kLong, [](const auto&) {}).ok());
  EXPECT_EQ(of_stream, 64u << 20);
}

TEST_F(ClientTest, Encode_OfALongText_IsTriedAgainToo) {
  FailUntil(2, grpc::StatusCode::UNAVAILABLE);
  const auto response = Connect()->Encode(Request(std::string(4 << 20, 'x')), kLong);
  EXPECT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(server_.encode_calls(), 2);
}

TEST_F(ClientTest, Encode_IsTriedUntilTheDeadline_AndEndsWithTheServersError) {
  FailUntil(1000, grpc::StatusCode::UNAVAILABLE);
  const auto response = Connect()->Encode(Request(), absl::Seconds(3));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(response.status().message()), StartsWith("loading ["));
  EXPECT_THAT(std::string(response.status().message()), HasSubstr(" attempts in "));
  EXPECT_GE(server_.encode_calls(), 3);
}

TEST_F(ClientTest, Encode_OfAServerThatWasNeverThere_EndsAtTheReachLimit) {
  ClientOptions options = {.server = "127.0.0.1:1", .reach_limit = absl::Milliseconds(500)};
  const auto response = (*Client::Connect(options))->Encode(Request(), kLong * 100);
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
}

// The rows that were seen before the attempt failed are left out of the next one.
TEST_F(ClientTest, EncodeTokens_GoesOnWhereItWasCutOff) {
  server_.set_on_encode_tokens([](int attempt, grpc::ServerWriter<v1::EncodeTokensResponse>* out) {
    for (uint64_t first = 0; first < 6; first += 2) {
      if (attempt == 1 && first == 4) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
      v1::EncodeTokensResponse part;
      part.set_first_token(first);
      part.set_token_count(2);
      if (first == 4) part.set_tokens_total(6);
      out->Write(part);
    }
    return grpc::Status::OK;
  });
  std::vector<uint64_t> seen;
  const absl::Status status = Connect()->EncodeTokens(
      {}, kLong, [&](const v1::EncodeTokensResponse& part) { seen.push_back(part.first_token()); });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(seen, testing::ElementsAre(0, 2, 4));
}

TEST_F(ClientTest, Encode_IsTriedOnce_WhereTheTextIsAtFaultOrRetryIsOff) {
  FailUntil(100, grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Connect()->Encode(Request(), kLong).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(server_.encode_calls(), 1);
  FailUntil(100, grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(Connect({.retry = false})->Encode(Request(), kLong).ok());
  EXPECT_EQ(server_.encode_calls(), 2);
}

// The pause that the server names wins over the client's backoff. A negative one forbids the next
// attempt.
TEST_F(ClientTest, Encode_ObeysTheServersPushback) {
  server_.set_on_encode(
      [](int, grpc::ServerContext* context, const v1::EncodeRequest&, v1::EncodeResponse*) {
        context->AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
        return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full");
      });
  EXPECT_EQ(Connect()->Encode(Request(), kLong).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(server_.encode_calls(), 1);
}

TEST_F(ClientTest, Encode_EndsAtItsDeadline_WhenTheServerDoesNotAnswer) {
  server_.set_on_encode(
      [](int, grpc::ServerContext* context, const v1::EncodeRequest&, v1::EncodeResponse*) {
        while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
        return grpc::Status::CANCELLED;
      });
  const absl::Time start = absl::Now();
  const auto response = Connect()->Encode(Request(), absl::Milliseconds(200));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(150));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST_F(ClientTest, Error_KeepsCodeAndMessage_AndTellsTheDetails) {
  server_.set_on_encode(
      [](int, grpc::ServerContext*, const v1::EncodeRequest&, v1::EncodeResponse*) {
        google::rpc::BadRequest bad_request;
        bad_request.add_field_violations()->set_field("inputs[0].text");
        google::rpc::Status details;
        details.add_details()->PackFrom(bad_request);
        return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "9120 tokens; at most 4096",
                            details.SerializeAsString());
      });
  const auto response = Connect()->Encode(Request(), kLong);
  EXPECT_EQ(response.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(response.status().message(), "9120 tokens; at most 4096 [field inputs[0].text]");
}

TEST_F(ClientTest, Answer_MayBeLargerThanGrpcsDefaultOf4MiB) {
  server_.set_on_encode([](int, grpc::ServerContext*, const v1::EncodeRequest&,
                           v1::EncodeResponse* response) {
    response->add_encodings()->mutable_vector()->mutable_values()->Resize(2 << 20, 0.5f);  // 8 MiB
    return grpc::Status::OK;
  });
  const auto response = Connect()->Encode(Request(), kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->encodings(0).vector().values_size(), 2 << 20);
}

TEST_F(ClientTest, Key_IsSentAsBearer) {
  ASSERT_TRUE(Connect({.key = "secret"})->Encode(Request(), kLong).ok());
  EXPECT_EQ(server_.last_authorization(), "Bearer secret");
}

TEST_F(ClientTest, AwaitConnection_TellsWhetherAServerIsThere) {
  EXPECT_TRUE(Connect()->AwaitConnection(kLong));
  EXPECT_FALSE(
      (*Client::Connect({.server = "127.0.0.1:1"}))->AwaitConnection(absl::Milliseconds(300)));
}

TEST_F(ClientTest, Health_TellsTheStatus_AndNotFoundForUnknownNames) {
  server_.set_not_serving_for(1);
  EXPECT_EQ(*Connect()->Health("", kLong), "NOT_SERVING");
  EXPECT_EQ(*Connect()->Health("longspan.v1.EncoderService", kLong), "SERVING");
  EXPECT_EQ(Connect()->Health("no.such", kLong).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ClientTest, GetModelInfo_Answers) {
  EXPECT_EQ(Connect()->GetModelInfo(kLong)->dimensions(), 384u);
}

TEST(ClientConnectTest, NamesACaFileThatCannotBeRead) {
  const auto client = Client::Connect({.ca_file = "/no/such/ca.pem"});
  ASSERT_FALSE(client.ok());
  EXPECT_THAT(std::string(client.status().message()), HasSubstr("/no/such/ca.pem"));
}

}  // namespace
}  // namespace longspan
