// A multi-vector model behind the wire: which rows come, what the answer says of them, and what
// GetModelInfo tells.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

// Token 9 is skipped in documents; queries are filled up to 8 tokens by token 7.
FakeModel Model() {
  FakeModel fake{.max_tokens = 100000};
  fake.multi_vector.emplace();
  fake.multi_vector->skipped_ids = {9};
  fake.multi_vector->document_length = 300;
  fake.multi_vector->expansion =
      QueryExpansion{.length = 8, .is_fixed = true, .is_attended = false, .token_id = 7};
  return fake;
}

struct Rows {
  std::vector<uint64_t> tokens;
  std::vector<float> ids;  // the first value of each row
  v1::EncodeTokensResponse last;
};

Rows EncodeTokens(TestServer& server, const v1::EncodeTokensRequest& request) {
  Rows rows;
  const absl::Status status =
      server.client().EncodeTokens(request, kLong, [&](const v1::EncodeTokensResponse& part) {
        EXPECT_LT(part.ByteSizeLong(), 1u << 20);
        std::vector<std::pair<uint64_t, uint64_t>> ranges;
        for (const v1::Range& range : part.token_ranges())
          ranges.emplace_back(range.begin(), range.end());
        if (ranges.empty())
          ranges.emplace_back(part.first_token(), part.first_token() + part.token_count());
        EXPECT_EQ(ranges.front().first, part.first_token());
        const size_t before = rows.tokens.size();
        for (const auto& [begin, end] : ranges) {
          for (uint64_t token = begin; token < end; ++token) rows.tokens.push_back(token);
        }
        EXPECT_EQ(rows.tokens.size() - before, part.token_count());
        for (int i = 0; i < part.values_size(); i += 4) rows.ids.push_back(part.values(i));
        rows.last = part;
      });
  EXPECT_TRUE(status.ok()) << status;
  return rows;
}

v1::EncodeTokensRequest Request(const std::vector<uint32_t>& ids, v1::TextRole role) {
  v1::EncodeTokensRequest request;
  for (const uint32_t id : ids) request.mutable_input()->mutable_token_ids()->add_ids(id);
  request.mutable_options()->set_text_role(role);
  return request;
}

TEST(MultiVectorService, ADocumentsSkippedTokens_HaveNoRows) {
  TestServer server(Model());
  const std::vector<uint32_t> ids = {9, 1, 2, 9, 9, 3, 9};
  for (const v1::TextRole role : {v1::TEXT_ROLE_UNSPECIFIED, v1::TEXT_ROLE_DOCUMENT}) {
    const Rows rows = EncodeTokens(server, Request(ids, role));
    EXPECT_THAT(rows.tokens, ElementsAre(1, 2, 5));
    EXPECT_THAT(rows.ids, ElementsAre(1, 2, 3));
    EXPECT_EQ(rows.last.tokens_total(), 7u);
    EXPECT_EQ(rows.last.tokens_used(), 7u);
  }
}

TEST(MultiVectorService, ATextOfSkippedTokensAlone_HasNoRowsAtAll) {
  TestServer server(Model());
  const Rows rows = EncodeTokens(server, Request({9, 9}, v1::TEXT_ROLE_DOCUMENT));
  EXPECT_THAT(rows.tokens, ElementsAre());
  EXPECT_EQ(rows.last.tokens_used(), 2u);
}

TEST(MultiVectorService, AQueryHasTheRowsOfItsExpansion_AndKeepsSkippedTokens) {
  TestServer server(Model());
  const Rows rows = EncodeTokens(server, Request({1, 9, 2}, v1::TEXT_ROLE_QUERY));
  EXPECT_THAT(rows.tokens, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(rows.ids, ElementsAre(1, 9, 2, 7, 7, 7, 7, 7));
  EXPECT_EQ(rows.last.tokens_used(), 3u);
}

TEST(MultiVectorService, ManyGaps_FillMessagesUnderAMebibyte) {
  TestServer server(Model());
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < 60000; ++i) ids.push_back(i % 2 == 0 ? 9 : 10 + i % 900);
  const Rows rows = EncodeTokens(server, Request(ids, v1::TEXT_ROLE_DOCUMENT));
  ASSERT_EQ(rows.tokens.size(), 30000u);
  for (size_t i = 0; i < rows.tokens.size(); ++i) {
    ASSERT_EQ(rows.tokens[i], 2 * i + 1);
    ASSERT_EQ(rows.ids[i], static_cast<float>(ids[2 * i + 1]));
  }
}

TEST(MultiVectorService, ALongerQuery_IsRefused) {
  TestServer server(Model());
  const absl::Status status = server.client().EncodeTokens(
      Request(std::vector<uint32_t>(9, 1), v1::TEXT_ROLE_QUERY), kLong, [](const auto&) {});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("input.token_ids has 9 tokens; a query of this model takes at most 8"));
}

TEST(MultiVectorService, GetModelInfo_TellsWhatIsItsOwn) {
  TestServer server(Model());
  const auto info = server.client().GetModelInfo(kLong);
  ASSERT_TRUE(info.ok()) << info.status();
  ASSERT_TRUE(info->has_multi_vector());
  const v1::MultiVector& own = info->multi_vector();
  EXPECT_EQ(own.document_length(), 300u);
  EXPECT_THAT(own.skipped_token_ids(), ElementsAre(9));
  EXPECT_TRUE(own.skips_in_documents());
  EXPECT_FALSE(own.skips_in_queries());
  EXPECT_EQ(own.expansion().length(), 8u);
  EXPECT_TRUE(own.expansion().is_fixed());
  EXPECT_FALSE(own.expansion().is_attended());
  EXPECT_EQ(own.expansion().token_id(), 7u);
  TestServer other;
  EXPECT_FALSE(other.client().GetModelInfo(kLong)->has_multi_vector());
}

}  // namespace
}  // namespace longspan
