#include "core/search/bm25.h"

#include <gmock/gmock.h>

#include <cmath>
#include <vector>

namespace longspan {
namespace {

TEST(Bm25, IsTheFormula) {
  // Two words over three texts of mean length 4: n = 2 and 1.
  const std::vector<WordCounts> texts = {{{2, 0}, 2}, {{1, 3}, 6}, {{0, 0}, 4}};
  const std::vector<double> scores = Bm25(texts, {.k1 = 1.5, .b = 0.5});
  const double first = std::log(1 + 1.5 / 2.5), second = std::log(1 + 2.5 / 1.5);
  EXPECT_NEAR(scores[0], first * 2 * 2.5 / (2 + 1.5 * (0.5 + 0.5 * 0.5)), 1e-12);
  EXPECT_NEAR(scores[1],
              first * 2.5 / (1 + 1.5 * (0.5 + 0.5 * 1.5)) +
                  second * 3 * 2.5 / (3 + 1.5 * (0.5 + 0.5 * 1.5)),
              1e-12);
  EXPECT_EQ(scores[2], 0.0);
}

TEST(Bm25, ARarerWord_CountsMore_AndNoneCountsLessThanNothing) {
  const std::vector<WordCounts> texts = {{{1, 0}, 10}, {{1, 1}, 10}, {{1, 0}, 10}};
  const std::vector<double> scores = Bm25(texts);
  EXPECT_GT(scores[1] - scores[0], scores[0]);
  EXPECT_GT(scores[0], 0.0) << "a word that all texts hold";
}

TEST(Bm25, TextsWithoutWords_AndNoTexts_HaveNoScores) {
  EXPECT_THAT(Bm25({}), testing::IsEmpty());
  EXPECT_THAT(Bm25(std::vector<WordCounts>{{{0}, 0}, {{0}, 0}}), testing::ElementsAre(0.0, 0.0));
  EXPECT_THAT(Bm25(std::vector<WordCounts>{{{}, 5}}), testing::ElementsAre(0.0));
}

}  // namespace
}  // namespace longspan
