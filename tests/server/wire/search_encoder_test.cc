// What a search answers as a message, and that it takes no more bytes than was said before.
#include "server/wire/search_encoder.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace longspan {
namespace {

FoundToken Token(uint32_t query_begin, uint32_t query_end, uint32_t begin, uint32_t end) {
  return {.query = {query_begin, query_end, query_begin, query_end},
          .text = {begin, end, begin, end},
          .similarity = 0.5f,
          .weight = 0.25f};
}

TEST(SearchEncoderTest, ABestToken_StandsInTheDocument_AndInTheQuestionIfThatHoldsIt) {
  SearchAnswer answer;
  answer.documents.resize(1);
  answer.documents[0].spans.resize(2);
  FoundToken found = Token(3, 9, 20, 26);
  found.query.character_end = 8;
  found.text.character_begin = 19;
  answer.documents[0].spans[1].best_tokens = {found, Token(0, 0, 30, 31)};
  std::vector<std::string> ids = {"a"};
  const v1::SearchResponse response = SearchResponseOf(answer, ids, {});
  EXPECT_EQ(response.results(0).spans(0).best_tokens_size(), 0);
  const v1::SearchSpan& span = response.results(0).spans(1);
  ASSERT_EQ(span.best_tokens_size(), 2);
  EXPECT_EQ(span.best_tokens(0).query_bytes().begin(), 3u);
  EXPECT_EQ(span.best_tokens(0).query_bytes().end(), 9u);
  EXPECT_EQ(span.best_tokens(0).query_characters().end(), 8u);
  EXPECT_EQ(span.best_tokens(0).bytes().begin(), 20u);
  EXPECT_EQ(span.best_tokens(0).characters().begin(), 19u);
  EXPECT_EQ(span.best_tokens(0).characters().end(), 26u);
  EXPECT_EQ(span.best_tokens(0).similarity(), 0.5f);
  EXPECT_EQ(span.best_tokens(0).weight(), 0.25f);
  EXPECT_FALSE(span.best_tokens(1).has_query_bytes());
  EXPECT_FALSE(span.best_tokens(1).has_query_characters());
  EXPECT_EQ(span.best_tokens(1).bytes().begin(), 30u);
}

// Two of three documents, two spans of each, with the largest numbers that there are.
TEST(SearchEncoderTest, AnAnswer_IsNoLargerThanWasSaid) {
  constexpr uint32_t kMost = UINT32_MAX;
  for (const bool best_tokens : {false, true}) {
    for (const QueryWeights weights : {QueryWeights::kIdf, QueryWeights::kAllTokens}) {
      SearchRequest request;
      request.query.text = std::string(40, 'q');
      request.documents.resize(3);
      for (EncodeInput& document : request.documents) document.text = std::string(1000, 'a');
      request.settings.ranking.max_documents = 2;
      request.settings.ranking.max_passages = 2;
      request.settings.weights = weights;
      request.settings.best_tokens = best_tokens;
      std::vector<std::string> ids = {std::string(100, 'x'), std::string(200, 'y'), "z"};
      const int64_t most = MostSearchBytes(request, ids);

      const TextRange far{kMost - 1, kMost};
      FoundSpan span{.bytes = far,
                     .characters = far,
                     .tokens = {kMost - 1, kMost},
                     .score = -1.5,
                     .similarity = 0.7f};
      if (best_tokens)
        span.best_tokens.assign(MostQueryTokens(request.query, weights),
                                Token(65535, 65536, kMost - 1, kMost));
      SearchAnswer answer{.query_tokens = 512, .documents_tokens = kMost, .documents_truncated = 3};
      for (const size_t index : {size_t{1}, size_t{0}}) {
        answer.documents.push_back({.index = index,
                                    .score = 1.5,
                                    .similarity = 0.7f,
                                    .bm25 = 2.5,
                                    .spans = {span, span},
                                    .tokens_total = kMost,
                                    .tokens_used = kMost - 1,
                                    .used_text = {far, far}});
      }
      const auto bytes = static_cast<int64_t>(SearchResponseOf(answer, ids, {}).ByteSizeLong());
      EXPECT_LE(bytes, most);
      EXPECT_GT(bytes, most / 2) << "not far too much";
    }
  }
}

}  // namespace
}  // namespace longspan
