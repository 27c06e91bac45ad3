#include "server/batching/token_group.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

namespace longspan {
namespace {

using ::testing::ElementsAre;

// The means of rows [n, width], of which each group has the sizes given, in double.
std::vector<double> Reference(const std::vector<float>& rows, int64_t width,
                              const std::vector<int64_t>& sizes, bool normalize) {
  std::vector<double> means;
  int64_t first = 0;
  for (const int64_t size : sizes) {
    std::vector<double> mean(width);
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) {
      for (int64_t row = first; row < first + size; ++row) mean[i] += rows[row * width + i];
      mean[i] /= static_cast<double>(size);
      squares += mean[i] * mean[i];
    }
    for (const double value : mean) means.push_back(normalize ? value / std::sqrt(squares) : value);
    first += size;
  }
  return means;
}

// Unit rows where they are to be normalised.
std::vector<float> RandomRows(int64_t count, int64_t width, bool unit) {
  std::mt19937 random(static_cast<uint32_t>(count * 1000 + width));
  std::normal_distribution<float> normal(0.3F, 1);
  std::vector<float> rows(count * width);
  for (float& value : rows) value = normal(random);
  for (int64_t row = 0; unit && row < count; ++row) {
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += std::pow(rows[row * width + i], 2);
    for (int64_t i = 0; i < width; ++i)
      rows[row * width + i] /= static_cast<float>(std::sqrt(squares));
  }
  return rows;
}

struct Pooled {
  std::vector<float> means;
  std::vector<std::vector<int64_t>> tokens;
};

// Hands the rows of `tokens` to a group, one by one.
Pooled Pool(TokenPooling pooling, int64_t gap, const std::vector<int64_t>& tokens,
            const std::vector<float>& rows) {
  const auto width = rows.size() / tokens.size();
  TokenGroup group(pooling);
  group.SetGap(gap);
  Pooled pooled;
  const auto take = [&] {
    pooled.tokens.emplace_back(group.tokens().begin(), group.tokens().end());
    group.TakeMean(&pooled.means);
  };
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!group.empty() && group.EndsBefore(tokens[i])) take();
    group.Add(tokens[i], {rows.data() + i * width, width});
  }
  if (!group.empty()) take();
  return pooled;
}

std::vector<int64_t> UpTo(int64_t count) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(i);
  return tokens;
}

TEST(TokenGroup, AMeanIsThatOfItsRows_AndHasLength1WhereTheyHave) {
  for (const int32_t factor : {2, 4}) {
    for (const bool normalize : {false, true}) {
      for (const int64_t width : {3, 64, 257}) {
        for (const int64_t count : {1, 2, 3, 4, 5, 7, 8, 9, 100}) {
          const std::vector<float> rows = RandomRows(count, width, normalize);
          std::vector<int64_t> sizes(count / factor, factor);
          if (count % factor > 0) sizes.push_back(count % factor);
          const std::vector<double> wanted = Reference(rows, width, sizes, normalize);
          const Pooled pooled = Pool({factor, normalize}, 0, UpTo(count), rows);
          ASSERT_EQ(pooled.means.size(), wanted.size());
          for (size_t i = 0; i < wanted.size(); ++i) {
            ASSERT_NEAR(pooled.means[i], wanted[i], 2e-5) << factor << " " << width << " " << i;
          }
        }
      }
    }
  }
}

TEST(TokenGroup, TheRestIsAGroupOfItsOwn_AndOneRowStaysAsItIs) {
  const Pooled pooled = Pool({4, true}, 0, UpTo(5), {1, 2, 3, 2, 7});
  EXPECT_THAT(pooled.means, ElementsAre(1, 7));
  EXPECT_THAT(pooled.tokens, ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(4)));
}

TEST(TokenGroup, NoGroupReachesOverTheGap_ButOverSkippedTokens) {
  const Pooled pooled = Pool({2, false}, 5, {0, 2, 4, 5, 7, 9}, {1, 3, 5, 7, 9, 11});
  EXPECT_THAT(pooled.tokens,
              ElementsAre(ElementsAre(0, 2), ElementsAre(4), ElementsAre(5, 7), ElementsAre(9)));
  EXPECT_THAT(pooled.means, ElementsAre(2, 5, 8, 11));
  // The gap's own token is skipped.
  EXPECT_THAT(Pool({4, false}, 5, {3, 6, 7}, {1, 3, 5}).tokens,
              ElementsAre(ElementsAre(3), ElementsAre(6, 7)));
  EXPECT_THAT(Pool({2, false}, 4, UpTo(6), {1, 1, 1, 1, 1, 1}).tokens,
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5)));
}

TEST(TokenGroup, RowsThatCancelOut_GiveZeros_AndLargeOnesNoInfinity) {
  EXPECT_THAT(Pool({2, true}, 0, {0, 1}, {1, 0, -1, 0}).means, ElementsAre(0, 0));
  const std::vector<float> large(4, 0x1p127F);
  EXPECT_THAT(Pool({4, false}, 0, UpTo(4), large).means, ElementsAre(0x1p127F));
}

TEST(TokenGroup, MostPooledRows_CountsTheRestOfEachSideOfTheGap) {
  EXPECT_EQ(MostPooledRows(7, 0, 1), 7);
  EXPECT_EQ(MostPooledRows(7, 3, 1), 7);
  EXPECT_EQ(MostPooledRows(7, 0, 2), 4);
  EXPECT_EQ(MostPooledRows(8, 3, 2), 5);
  EXPECT_EQ(MostPooledRows(8, 0, 4), 2);
  EXPECT_EQ(MostPooledRows(9, 0, 4), 3);
  EXPECT_EQ(MostPooledRows(0, 0, 4), 0);
}

TEST(TokenGroup, MeansAreNormalised_WhereTheRowsAre) {
  ModelInfo model;
  EncodeInput input{.token_pooling = 2};
  model.normalize = true;  // of the vectors of texts
  EXPECT_EQ(TokenPoolingOf(input, model).factor, 2);
  EXPECT_FALSE(TokenPoolingOf(input, model).normalize);
  model.multi_vector.emplace();
  EXPECT_TRUE(TokenPoolingOf(input, model).normalize);
  model.normalize = false;
  EXPECT_FALSE(TokenPoolingOf(input, model).normalize);
  for (const bool asked : {false, true}) {
    input.options.normalize = asked;
    EXPECT_EQ(TokenPoolingOf(input, model).normalize, asked);
  }
}

}  // namespace
}  // namespace longspan
