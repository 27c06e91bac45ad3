// A text that does not fit in the server's memory: the bound is published, kept, and refused with a
// code that clients do not retry, before anything is computed.
#include <google/rpc/error_details.pb.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/server_process.h"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);

class MemoryLimitTest : public ::testing::Test {
 protected:
  // Weights of 87 MB, and room for a text of some thousand tokens.
  MemoryLimitTest()
      : process_({"--model", LONGSPAN_EMBEDDED_MODEL, "--drain-delay", "0", "--memory-budget",
                  "160MiB", "--max-batch-tokens", "1024", "--replicas", "1"}) {
    port_ = process_.Port();
    if (port_ > 0)
      client_ = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port_), .retry = false});
  }
  RawResult Encode(int64_t num_tokens, v1::Truncation truncation = v1::TRUNCATION_REJECT) {
    v1::EncodeRequest request = IdsRequest({std::vector<uint32_t>(num_tokens, 2050)});
    request.mutable_options()->set_truncation(truncation);
    return CallEncode(*client_, request, kLong);
  }

  ServerProcess process_;
  int port_ = 0;
  std::unique_ptr<Client> client_;
};

TEST_F(MemoryLimitTest, TheBoundIsPublished_HoldsToTheLastToken_AndIsRefusedForGood) {
  ASSERT_GT(port_, 0);
  const auto info = client_->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  const auto longest = static_cast<int64_t>(info->limits().max_tokens());
  EXPECT_EQ(info->limits().max_tokens_set_by(), "memory");
  ASSERT_GT(longest, 1024) << "a batch fits";
  ASSERT_LT(longest, 20'000) << "the budget is small";

  const RawResult fits = Encode(longest);
  EXPECT_TRUE(fits.status.ok()) << fits.status.error_message();

  const RawResult too_long = Encode(longest + 1);
  EXPECT_EQ(too_long.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(absl::StrContains(
      too_long.status.error_message(),
      absl::StrCat("has ", longest + 1, " tokens; this server's memory takes at most ", longest)))
      << too_long.status.error_message();
  EXPECT_EQ(too_long.field, "inputs[0].token_ids");
  EXPECT_EQ(too_long.reason, "MAX_TOKENS");
  EXPECT_EQ(too_long.retry_seconds, 0);
  EXPECT_EQ(too_long.pushback, "");

  const RawResult cut = Encode(3 * longest, v1::TRUNCATION_HEAD);
  ASSERT_TRUE(cut.status.ok()) << cut.status.error_message();
  EXPECT_TRUE(cut.response.encodings(0).truncated());
  EXPECT_EQ(cut.response.encodings(0).tokens_used(), static_cast<uint64_t>(longest));
  EXPECT_EQ(cut.response.encodings(0).tokens_total(), static_cast<uint64_t>(3 * longest));
}

// Rows of all tokens, the most that a text of the longest length can ask for.
TEST_F(MemoryLimitTest, TokenVectorsOfTheLongestText_Come) {
  ASSERT_GT(port_, 0);
  const auto info = client_->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  grpc::ClientContext context;
  client_->Prepare(&context, kLong);
  v1::EncodeTokensRequest request;
  FillIds(std::vector<uint32_t>(info->limits().max_tokens(), 2050), request.mutable_input());
  const auto stream = client_->stub().EncodeTokens(&context, request);
  uint64_t rows = 0;
  for (v1::EncodeTokensResponse message; stream->Read(&message);) rows += message.token_count();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(rows, info->limits().max_tokens());
}

TEST(UnboundedMemoryTest, WithoutALimitOrWithASmallerSetting_MemoryDoesNotSetTheBound) {
  ServerProcess process({"--model", LONGSPAN_FIXTURES "/longformer-windows", "--drain-delay", "0",
                         "--memory-budget", "1GiB", "--max-tokens", "16"});
  const int port = process.Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
  const auto info = client->GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->limits().max_tokens(), 16u);
  EXPECT_EQ(info->limits().max_tokens_set_by(), "setting");
}

TEST(UnknownVariableTest, EndsTheStartWithCode2) {
  const auto start = [](const char* variable) {
    ServerProcess process(
        {"--model", LONGSPAN_FIXTURES "/longformer-windows", "--drain-delay", "0"},
        [variable] { putenv(const_cast<char*>(variable)); });
    const bool serves = process.Port() > 0;
    if (serves) process.Signal(SIGTERM);
    return process.Wait();
  };
  EXPECT_EQ(start("LONGSPAN_MAX_TOKEN=5"), 2);
  EXPECT_EQ(start("LONGSPAN_PORT=tcp://10.0.0.1:50051"), 0);
  EXPECT_EQ(start("LONGSPAN_CACHE=/tmp"), 0);
}

}  // namespace
}  // namespace longspan
