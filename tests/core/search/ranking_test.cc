#include "core/search/ranking.h"

#include <gmock/gmock.h>

#include <cmath>
#include <vector>

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

// A document of passages of ten rows, with these cosines. Each has a block of its own, with this
// count of one word.
SearchedDocument Document(const std::vector<float>& cosines, const std::vector<int32_t>& counts) {
  SearchedDocument document;
  for (size_t i = 0; i < cosines.size(); ++i) {
    const auto begin = static_cast<int64_t>(10 * i);
    document.passages.push_back({.begin = begin, .end = begin + 10, .score = cosines[i]});
    document.block_of.push_back(i);
    document.blocks.push_back({.counts = {counts[i]}, .length = 10});
  }
  return document;
}

std::vector<size_t> Order(const std::vector<RankedDocument>& ranked) {
  std::vector<size_t> order;
  for (const RankedDocument& document : ranked) order.push_back(document.document);
  return order;
}

TEST(Rank, ADocument_IsItsBestPassage) {
  const std::vector<SearchedDocument> documents = {Document({0.5f, 0.5f, 0.5f}, {0, 0, 0}),
                                                   Document({0.1f, 0.1f, 0.9f}, {0, 0, 0}),
                                                   Document({0.2f}, {0})};
  const auto ranked = Rank(documents);
  EXPECT_THAT(Order(ranked), ElementsAre(1, 0, 2));
  EXPECT_EQ(ranked[0].passages[0].passage, 2u);
  EXPECT_FLOAT_EQ(ranked[0].passages[0].similarity, 0.9f);
}

TEST(Rank, AScore_IsTheWeightedSumOfStandardisedScores) {
  const std::vector<SearchedDocument> documents = {Document({0.6f, 0.2f}, {0, 1}),
                                                   Document({0.4f, 0.4f}, {0, 0})};
  const RankingOptions options{.late_weight = 2.0, .lexical_weight = 0.7};
  const auto ranked = Rank(documents, options);
  // Of two values the larger one is 1 deviation above the mean, the smaller one 1 below.
  EXPECT_NEAR(ranked[0].score, 2.7, 1e-6);
  EXPECT_NEAR(ranked[1].score, -2.7, 1e-6);
  // Cosines 0.6, 0.2, 0.4, 0.4: deviation sqrt(0.02). One of four holds the word: sqrt(3) above.
  ASSERT_THAT(ranked[0].passages, SizeIs(2));
  EXPECT_NEAR(ranked[0].passages[0].score, 2.0 * 0.2 / std::sqrt(0.02) - 0.7 / std::sqrt(3.0),
              1e-5);
}

TEST(Rank, ADocumentWithoutPassages_ComesLast) {
  const std::vector<SearchedDocument> documents = {SearchedDocument{}, Document({-0.5f}, {0}),
                                                   Document({-0.9f}, {0})};
  EXPECT_THAT(Order(Rank(documents)), ElementsAre(1, 2, 0));
  EXPECT_THAT(Order(Rank(std::span(documents).first(2))), ElementsAre(1, 0));
}

TEST(Rank, WordsDecide_WhereCosinesAreEqual) {
  const std::vector<SearchedDocument> documents = {Document({0.4f, 0.4f}, {0, 0}),
                                                   Document({0.4f, 0.4f}, {0, 2})};
  const auto ranked = Rank(documents);
  EXPECT_THAT(Order(ranked), ElementsAre(1, 0));
  EXPECT_EQ(ranked[0].passages[0].passage, 1u);
}

TEST(Rank, APassage_HasTheWordsOfTheBlockAroundIt) {
  SearchedDocument document = Document({0.4f, 0.4f, 0.4f}, {0, 0, 0});
  document.blocks = {{.counts = {0}, .length = 20}, {.counts = {3}, .length = 20}};
  document.block_of = {0, 0, 1};
  const auto ranked = Rank(std::vector{Document({0.4f}, {0}), document});
  EXPECT_EQ(ranked[0].document, 1u);
  EXPECT_EQ(ranked[0].passages[0].passage, 2u);
}

TEST(Rank, PassagesOfOneDocument_DoNotOverlap) {
  SearchedDocument document = Document({0.9f, 0.8f, 0.7f, 0.1f}, {0, 0, 0, 0});
  for (size_t i = 0; i < 4; ++i) {  // each shares half of the next one
    document.passages[i].begin = static_cast<int64_t>(5 * i);
    document.passages[i].end = document.passages[i].begin + 10;
  }
  const auto ranked = Rank(std::vector{document}, {.max_passages = 3});
  std::vector<size_t> passages;
  for (const RankedPassage& passage : ranked[0].passages) passages.push_back(passage.passage);
  EXPECT_THAT(passages, ElementsAre(0, 2));
}

TEST(Rank, OneDocument_AndEqualOnes_KeepTheirOrder) {
  EXPECT_THAT(Rank({}), SizeIs(0));
  const auto one = Rank(std::vector{Document({0.3f}, {1})});
  ASSERT_THAT(one, SizeIs(1));
  EXPECT_EQ(one[0].score, 0.0);
  const std::vector<SearchedDocument> equal(5, Document({0.3f, 0.3f}, {1, 1}));
  EXPECT_THAT(Order(Rank(equal, {.max_documents = 3})), ElementsAre(0, 1, 2));
}

// A document of which nothing was read, such as one of blanks.
TEST(Rank, ADocumentWithoutPassages_IsLast) {
  const std::vector<SearchedDocument> documents = {Document({}, {}), Document({-0.5f}, {0}),
                                                   Document({0.5f}, {0})};
  const auto ranked = Rank(documents);
  EXPECT_EQ(ranked[0].document, 2u);
  EXPECT_THAT(ranked[2].passages.size() + ranked[1].passages.size(), 1u);
}

}  // namespace
}  // namespace longspan
