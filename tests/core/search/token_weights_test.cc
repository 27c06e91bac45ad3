// Weights of a question's tokens against blocks that are searched one by one.
#include "core/search/token_weights.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/search/cells.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::FloatNear;

constexpr int64_t kCell = 3;

// Blocks of the text that hold the id, by looking at each.
int64_t Holding(const std::vector<int32_t>& ids, int32_t id) {
  const auto tokens = static_cast<int64_t>(ids.size());
  const int64_t blocks = NumBlocks(NumCells(tokens, kCell));
  int64_t holding = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = b * kCellsBetweenBlocks * kCell;
    const int64_t end = std::min(begin + kCellsOfABlock * kCell, tokens);
    holding += std::find(ids.begin() + begin, ids.begin() + end, id) != ids.begin() + end;
  }
  return holding;
}

TEST(TokenRarity, WeightsAreTheIdfOverAllBlocks) {
  std::mt19937 random(3);
  const std::vector<int32_t> question = {1, 5, 5, 9, 40};
  for (int round = 0; round < 50; ++round) {
    TokenRarity all(question);
    std::vector<double> holding(question.size());
    double blocks = 0;
    for (int text = 0; text < 3; ++text) {
      std::vector<int32_t> ids(std::uniform_int_distribution<int>(0, 60)(random));
      for (int32_t& id : ids) id = std::geometric_distribution<int32_t>(0.15)(random);
      TokenRarity one(question);
      one.Count(ids, kCell);
      all.Add(one);
      blocks += static_cast<double>(NumBlocks(NumCells(static_cast<int64_t>(ids.size()), kCell)));
      for (size_t token = 0; token < question.size(); ++token)
        holding[token] += static_cast<double>(Holding(ids, question[token]));
    }
    EXPECT_EQ(static_cast<double>(all.blocks()), blocks);
    std::vector<double> idf;
    double sum = 0;
    for (const double n : holding) {
      idf.push_back(std::log(1 + (blocks - n + 0.5) / (n + 0.5)));
      sum += idf.back();
    }
    const std::vector<float> weights = all.Weights(std::vector<bool>(question.size(), true));
    for (size_t token = 0; token < question.size(); ++token)
      EXPECT_NEAR(weights[token], idf[token] / sum, 1e-6) << question[token];
  }
}

TEST(TokenRarity, ATokenThatIsNoWord_CountsNothing_UnlessNoneIs) {
  TokenRarity rarity(std::vector<int32_t>{7, 8});
  rarity.Count(std::vector<int32_t>{7, 8, 9}, kCell);
  EXPECT_THAT(rarity.Weights({true, false}), ElementsAre(1.0f, 0.0f));
  EXPECT_THAT(rarity.Weights({false, false}),
              ElementsAre(FloatNear(0.5f, 1e-6f), FloatNear(0.5f, 1e-6f)));
}

TEST(TokenRarity, WithoutTexts_AllTokensAreAlike) {
  EXPECT_THAT(TokenRarity(std::vector<int32_t>{7, 8}).Weights({true, true}),
              ElementsAre(0.5f, 0.5f));
}

TEST(EqualWeights, AreEqualAmongWords) {
  EXPECT_THAT(EqualWeights({true, false, true}), ElementsAre(0.5f, 0.0f, 0.5f));
  EXPECT_THAT(EqualWeights({false, false}), ElementsAre(0.5f, 0.5f));
}

}  // namespace
}  // namespace longspan
