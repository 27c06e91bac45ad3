// Scores of passages against cosines in double precision.
#include "core/search/late_interaction.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace longspan {
namespace {

constexpr int64_t kWidth = 30;  // no multiple of four

std::vector<float> Rows(int64_t count, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> rows(count * kWidth);
  for (float& value : rows) value = normal(random);
  return rows;
}

double Cosine(const float* a, const float* b) {
  double ab = 0, aa = 0, bb = 0;
  for (int64_t i = 0; i < kWidth; ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

double Score(const std::vector<float>& question, const std::vector<float>& weights,
             const std::vector<float>& text, int64_t begin, int64_t end) {
  double sum = 0, all = 0;
  for (size_t token = 0; token * kWidth < question.size(); ++token) {
    double best = -1;
    for (int64_t row = begin; row < end; ++row)
      best = std::max(best, Cosine(&question[token * kWidth], &text[row * kWidth]));
    const double weight = weights.empty() ? 1.0 : weights[token];
    sum += weight * best;
    all += weight;
  }
  return sum / all;
}

std::vector<float> Alike(int64_t tokens) {
  return std::vector<float>(tokens, 1.0f / static_cast<float>(tokens));
}

class LateInteractionTest : public testing::Test {
 protected:
  TokenMatrix Matrix(const std::vector<float>& rows) {
    TokenMatrix matrix(kWidth);
    // In parts, as a pass hands them over.
    const auto count = static_cast<int64_t>(rows.size()) / kWidth, part = (count + 2) / 3;
    for (int64_t row = 0; row < count; row += part)
      matrix.Append(rows.data() + row * kWidth, std::min(part, count - row));
    return matrix;
  }
  static std::vector<Passage> Score(const LateQuestion& question, const TokenMatrix& text,
                                    int64_t begin, int64_t end, int64_t cell_tokens,
                                    std::vector<float> weights = {}) {
    if (weights.empty()) weights = Alike(question.tokens());
    return ScorePassages(CellCosines(question, text, begin, end, cell_tokens), weights, begin, end,
                         cell_tokens);
  }
  std::mt19937 random_{5};
};

TEST_F(LateInteractionTest, PassagesOverlap_AndEndWithTheText) {
  const TokenMatrix text = Matrix(Rows(21, random_));
  const std::vector<float> question = Rows(2, random_);
  const auto passages = Score({question.data(), 2, kWidth}, text, 0, 21, 4);
  std::vector<std::pair<int64_t, int64_t>> places;
  for (const Passage& passage : passages) places.emplace_back(passage.begin, passage.end);
  EXPECT_THAT(places, testing::ElementsAre(std::pair(0, 8), std::pair(4, 12), std::pair(8, 16),
                                           std::pair(12, 20), std::pair(16, 21)));
}

TEST_F(LateInteractionTest, AScore_IsTheWeightedMeanOfTheLargestCosines) {
  for (const int64_t rows : {1, 7, 8, 64, 100}) {
    const std::vector<float> text = Rows(rows, random_), question = Rows(19, random_);
    std::vector<float> weights(19);
    for (float& weight : weights) weight = std::uniform_real_distribution<float>()(random_);
    weights[3] = 0.0f;
    float sum = 0.0f;
    for (const float weight : weights) sum += weight;
    for (float& weight : weights) weight /= sum;
    const TokenMatrix matrix = Matrix(text);
    const LateQuestion packed(question.data(), 19, kWidth);
    for (const std::vector<float>& chosen : {std::vector<float>(), weights}) {
      for (const Passage& passage : Score(packed, matrix, 0, rows, 8, chosen))
        EXPECT_NEAR(passage.score,
                    ::longspan::Score(question, chosen, text, passage.begin, passage.end), 2e-3)
            << passage.begin << " of " << rows;
    }
  }
}

TEST_F(LateInteractionTest, ATokenOfTheText_IsFoundInIt) {
  const std::vector<float> text = Rows(50, random_);
  const LateQuestion question(text.data() + 33 * kWidth, 1, kWidth);
  const auto passages = Score(question, Matrix(text), 0, 50, 1);
  const auto best =
      std::max_element(passages.begin(), passages.end(),
                       [](const Passage& a, const Passage& b) { return a.score < b.score; });
  EXPECT_NEAR(best->score, 1.0, 2e-3);
  EXPECT_TRUE(best->begin == 32 || best->begin == 33) << best->begin;
}

TEST_F(LateInteractionTest, RowsThatAreSet_InAnyOrder_AreThoseThatAreAppended) {
  const std::vector<float> rows = Rows(9, random_);
  TokenMatrix set(kWidth);
  set.Resize(9);
  for (const int64_t first : {6, 0, 3}) set.Set(first, rows.data() + first * kWidth, 3);
  set.Set(3, rows.data() + 3 * kWidth, 2);  // a second time
  const TokenMatrix appended = Matrix(rows);
  EXPECT_EQ(std::vector<uint8_t>(set.rows(), set.rows() + 9 * set.row_stride()),
            std::vector<uint8_t>(appended.rows(), appended.rows() + 9 * appended.row_stride()));
  EXPECT_EQ(std::vector<float>(set.scales(), set.scales() + 9),
            std::vector<float>(appended.scales(), appended.scales() + 9));
}

TEST_F(LateInteractionTest, ATextWithoutTokens_HasNoPassages) {
  const std::vector<float> question = Rows(1, random_);
  EXPECT_TRUE(Score({question.data(), 1, kWidth}, TokenMatrix(kWidth), 0, 0, 32).empty());
}

TEST_F(LateInteractionTest, RowsOutsideOfTheRange_AreNotRead) {
  std::vector<float> text = Rows(12, random_);
  const LateQuestion question(text.data(), 1, kWidth);  // the first row
  const auto passages = Score(question, Matrix(text), 1, 11, 4);
  ASSERT_EQ(passages.size(), 2u);
  EXPECT_EQ(passages[0].begin, 1);
  EXPECT_EQ(passages[1].begin, 5);
  EXPECT_EQ(passages[1].end, 11);
  for (const Passage& passage : passages) EXPECT_LT(passage.score, 0.95f);
}

TEST_F(LateInteractionTest, ARowOfZeros_IsSimilarToNothing) {
  const std::vector<float> text(3 * kWidth, 0.0f), question = Rows(2, random_);
  const auto passages = Score({question.data(), 2, kWidth}, Matrix(text), 0, 3, 32);
  ASSERT_EQ(passages.size(), 1u);
  EXPECT_EQ(passages[0].score, 0.0f);
}

TEST_F(LateInteractionTest, TheBestToken_IsTheRowWithTheLargestCosine) {
  std::vector<float> weights = Alike(19);
  weights[5] = weights[18] = 0.0f;
  for (const int64_t rows : {1, 2, 63, 64, 65, 200}) {
    const std::vector<float> text = Rows(rows + 7, random_), question = Rows(19, random_);
    const auto best = BestTokens({question.data(), 19, kWidth}, weights, Matrix(text), 7, rows + 7);
    ASSERT_EQ(best.size(), 17u);
    for (size_t i = 0; i < best.size(); ++i) {
      EXPECT_EQ(best[i].token, static_cast<int64_t>(i < 5 ? i : i + 1)) << "in order";
      EXPECT_EQ(best[i].weight, weights[0]);
      const float* asked = &question[best[i].token * kWidth];
      double most = -1;
      for (int64_t row = 7; row < rows + 7; ++row)
        most = std::max(most, Cosine(asked, &text[row * kWidth]));
      ASSERT_GE(best[i].row, 7);
      ASSERT_LT(best[i].row, rows + 7);
      // int8 vectors of 30 values: of two rows that are as similar it may be either.
      EXPECT_NEAR(Cosine(asked, &text[best[i].row * kWidth]), most, 8e-3) << rows;
      EXPECT_NEAR(best[i].similarity, most, 8e-3) << rows;
    }
  }
}

TEST_F(LateInteractionTest, BestTokens_MakeTheScoreOfTheirPassage) {
  const std::vector<float> text = Rows(40, random_), question = Rows(21, random_);
  std::vector<float> weights(21);
  for (float& weight : weights) weight = std::uniform_real_distribution<float>(0, 0.1f)(random_);
  const LateQuestion packed(question.data(), 21, kWidth);
  const TokenMatrix matrix = Matrix(text);
  for (const Passage& passage : Score(packed, matrix, 0, 40, 8, weights)) {
    float sum = 0.0f;
    for (const BestToken& best : BestTokens(packed, weights, matrix, passage.begin, passage.end))
      sum += best.weight * best.similarity;
    EXPECT_NEAR(sum, passage.score, 1e-6) << passage.begin;
  }
}

TEST_F(LateInteractionTest, OfRowsThatAreAlike_TheFirstIsTheBest) {
  std::vector<float> text = Rows(100, random_);
  for (const int64_t row : {30, 70, 71})
    std::copy_n(text.begin() + 90 * kWidth, kWidth, text.begin() + row * kWidth);
  const LateQuestion question(text.data() + 90 * kWidth, 1, kWidth);
  EXPECT_EQ(BestTokens(question, Alike(1), Matrix(text), 0, 100).front().row, 30);
  EXPECT_EQ(BestTokens(question, Alike(1), Matrix(text), 31, 100).front().row, 70);
}

}  // namespace
}  // namespace longspan
