// Ids and weights are those of Python's mmh3 5.3.1 and fastembed 0.9.1.
#include "server/text/lexical_vector.h"

#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::IsEmpty;

TEST(WordIdTest, IsThatOfPython) {
  const std::vector<std::pair<std::string, uint32_t>> words = {
      {"", 0},
      {"a", 1009084850},
      {"ab", 1681926305},  // negative as a signed number, as "abc"
      {"abc", 1277324294},
      {"abcd", 1139631978},
      {"rule", 1838268055},
      {"court", 1093605534},
      {"42nd", 1990020435},
      {"strasse", 1932930851},
      {"тёплый", 517487042},
      {"東京", 1765863102},
      {std::string(127, 'x'), 792720033}};
  for (const auto& [word, id] : words) EXPECT_EQ(WordId(word), id) << word;
}

std::vector<uint32_t> Ids(const std::vector<std::string>& words) {
  std::vector<uint32_t> ids;
  for (const std::string& word : words) ids.push_back(WordId(word));
  return ids;
}

TEST(WeighWordsTest, WeightsAreThoseOfFastembed_ByIndex) {
  const LexicalVector vector =
      WeighWords(Ids({"court", "rule", "in", "1990", "rule", "court", "rule", "court"}), {}, 256);
  EXPECT_THAT(vector.indices, ElementsAre(131900689, 219659958, 1093605534, 1838268055));
  EXPECT_THAT(vector.values, ElementsAre(FloatEq(1.6564705882352944), FloatEq(1.6564705882352944),
                                         FloatEq(1.983098591549296), FloatEq(1.983098591549296)));
}

TEST(WeighWordsTest, WithK1Zero_RepetitionsCountNothing) {
  EXPECT_THAT(WeighWords({7, 7, 7, 9}, {.k1 = 0}, 256).values, ElementsAre(1, 1));
}

TEST(WeighWordsTest, WithBZero_LengthCountsNothing) {
  const LexicalOptions options{.k1 = 1, .b = 0};
  EXPECT_THAT(WeighWords({7}, options, 1).values, ElementsAre(1));  // 1 * 2 / (1 + 1)
  EXPECT_THAT(WeighWords({7, 8, 9}, options, 1).values, ElementsAre(1, 1, 1));
}

TEST(WeighWordsTest, WithBOne_ATextOfTwiceTheLengthPaysTwice) {
  const LexicalOptions options{.k1 = 1, .b = 1};
  EXPECT_THAT(WeighWords({7, 8}, options, 2).values, ElementsAre(1, 1));
  EXPECT_THAT(WeighWords({7, 8}, options, 1).values,
              ElementsAre(FloatEq(2.0f / 3), FloatEq(2.0f / 3)));
}

TEST(WeighWordsTest, EachWordOfAQuestionWeighsOne) {
  const LexicalVector vector = WeighWords({9, 7, 9, 9}, {.query = true}, 256);
  EXPECT_THAT(vector.indices, ElementsAre(7, 9));
  EXPECT_THAT(vector.values, ElementsAre(1, 1));
}

TEST(WeighWordsTest, NoWordsAreNoEntries) {
  EXPECT_THAT(WeighWords({}, {}, 256).indices, IsEmpty());
  EXPECT_THAT(WeighWords({}, {}, 256).values, IsEmpty());
}

}  // namespace
}  // namespace longspan
