#include "server/text/prepared_text.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

TEST(JoinPieces, NormalizesTheMean_NotTheParts) {
  PreparedText prepared;
  prepared.pieces.resize(2);
  prepared.document = {{0, -1, 3}, {1, -1, 1}};
  prepared.normalize_joined = true;
  prepared.tokens_total = prepared.tokens_used = 4;
  const EncodedDocument document =
      JoinPieces(prepared, {{.vector = {4, 0}}, {.vector = {0, 16}}});  // mean (3, 4)
  EXPECT_THAT(document.vector, ElementsAre(FloatNear(0.6, 1e-6), FloatNear(0.8, 1e-6)));
  EXPECT_FALSE(document.truncated);
}

TEST(JoinPieces, TakesSpansFromTheirPieces_AndTellsTruncation) {
  PreparedText prepared;
  prepared.pieces.resize(2);
  prepared.spans = {{{0, 5}, {0, 5}, {1, 3}, {{0, 0, 2}}},
                    {{5, 9}, {5, 9}, {3, 5}, {{0, 1, 1}, {1, 0, 3}}}};
  prepared.tokens_total = 9;
  prepared.tokens_used = 6;
  prepared.used_text = {{0, 9}};
  const EncodedDocument document =
      JoinPieces(prepared, {{.span_vectors = {{1, 2}, {4, 4}}}, {.span_vectors = {{8, 0}}}});
  EXPECT_TRUE(document.vector.empty());
  ASSERT_EQ(document.spans.size(), 2u);
  EXPECT_THAT(document.spans[0].vector, ElementsAre(1, 2));
  EXPECT_THAT(document.spans[1].vector, ElementsAre(7, 1));
  EXPECT_EQ(document.spans[1].tokens, (TokenRange{3, 5}));
  EXPECT_TRUE(document.truncated);
}

TEST(JoinPieces, LeavesAZeroVectorZero) {
  PreparedText prepared;
  prepared.pieces.resize(1);
  prepared.document = {{0, -1, 1}};
  prepared.normalize_joined = true;
  EXPECT_THAT(JoinPieces(prepared, {{.vector = {0, 0}}}).vector, ElementsAre(0, 0));
}

}  // namespace
}  // namespace longspan
