// Kept vectors against those that they stand for.
#include "core/search/token_codes.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/core/search/kept_samples.h"

namespace longspan {
namespace {

using ::testing::Each;

constexpr int64_t kCell = 8;

double Cosine(const std::vector<double>& a, const float* b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

std::vector<double> Values(const uint8_t* row, float scale, int64_t width) {
  std::vector<double> values;
  for (int64_t i = 0; i < width; ++i) values.push_back(scale * (row[i] - 128.0));
  return values;
}

double Length(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

class TokenCodesTest : public testing::TestWithParam<int64_t> {
 protected:
  int64_t width() const { return GetParam(); }
  PackedCodes Pack(const TokenMatrix& rows, TokenFormat format) {
    PackedCodes packed;
    AppendCodes(rows, 0, rows.num_rows(), kCell, format, &packed);
    return packed;
  }
  std::mt19937 random_{7};
};
INSTANTIATE_TEST_SUITE_P(Widths, TokenCodesTest, testing::Values(1, 3, 30, 64, 101, 384));

TEST_P(TokenCodesTest, Int8_KeepsTheRowsAsTheyAre) {
  const SampleText text = MakeSampleText({21}, width(), kCell, random_);
  const PackedCodes packed = Pack(text.rows, TokenFormat::kInt8);
  EXPECT_EQ(packed.rows,
            std::vector<uint8_t>(text.rows.rows(), text.rows.rows() + 21 * text.rows.row_stride()));
  EXPECT_EQ(packed.scales, std::vector<float>(text.rows.scales(), text.rows.scales() + 21));
}

TEST_P(TokenCodesTest, Means_AreThoseOfTheUnitVectorsOfACell) {
  const SampleText text = MakeSampleText({21}, width(), kCell, random_);
  for (const TokenFormat format : {TokenFormat::kInt8, TokenFormat::kTwoBit}) {
    const PackedCodes packed = Pack(text.rows, format);
    ASSERT_EQ(packed.mean_scales.size(), 3u);  // 8, 8 and 5 tokens
    for (int64_t cell = 0; cell < 3; ++cell) {
      const int64_t begin = cell * kCell, end = std::min<int64_t>(21, begin + kCell);
      std::vector<double> mean(width());
      for (int64_t row = begin; row < end; ++row) {
        const float* values = text.values.data() + row * width();
        const double length = Length({values, values + width()});
        for (int64_t i = 0; i < width(); ++i)
          mean[i] += values[i] / length / static_cast<double>(end - begin);
      }
      const auto got = Values(packed.mean_rows.data() + cell * RowStride(width()),
                              packed.mean_scales[cell], width());
      for (int64_t i = 0; i < width(); ++i) EXPECT_NEAR(got[i], mean[i], 0.01) << cell << " " << i;
    }
  }
}

TEST_P(TokenCodesTest, TwoBits_DecodeToUnitVectorsNearTheirOwn) {
  const SampleText text = MakeSampleText({21}, width(), kCell, random_);
  const PackedCodes packed = Pack(text.rows, TokenFormat::kTwoBit);
  ASSERT_EQ(packed.rows.size(), static_cast<size_t>(21 * ((width() + 3) / 4)));
  const TokenCodes codes{.format = TokenFormat::kTwoBit,
                         .width = width(),
                         .rows = packed.rows.data(),
                         .scales = packed.scales.data(),
                         .blends = packed.blends.data()};
  double sum = 0;
  for (int64_t row = 0; row < 21; ++row) {
    std::vector<uint8_t> decoded(RowStride(width()), 1);
    DecodeTwoBit(codes, packed.mean_rows.data() + row / kCell * RowStride(width()), row, 1,
                 decoded.data());
    const auto values = Values(decoded.data(), packed.scales[row], width());
    EXPECT_NEAR(Length(values), 1.0, 1e-5);
    EXPECT_THAT(std::vector<uint8_t>(decoded.begin() + width(), decoded.end()), Each(128));
    sum += Cosine(values, text.values.data() + row * width());
  }
  // Two bits of a normal distribution have 88 % of its squares (Max), and here a third of a
  // vector's squares differ from the mean: a cosine of 0.98.
  if (width() >= 30) {
    EXPECT_GT(sum / 21, 0.96);
  }
}

TEST_P(TokenCodesTest, TwoBits_OfSeveralRowsAreThoseOfEach) {
  const SampleText text = MakeSampleText({16}, width(), kCell, random_);
  const PackedCodes packed = Pack(text.rows, TokenFormat::kTwoBit);
  const TokenCodes codes{.format = TokenFormat::kTwoBit,
                         .width = width(),
                         .rows = packed.rows.data(),
                         .scales = packed.scales.data(),
                         .blends = packed.blends.data()};
  const uint8_t* mean = packed.mean_rows.data() + RowStride(width());
  std::vector<uint8_t> together(kCell * RowStride(width())), each(together.size());
  DecodeTwoBit(codes, mean, kCell, kCell, together.data());
  for (int64_t row = 0; row < kCell; ++row)
    DecodeTwoBit(codes, mean, kCell + row, 1, each.data() + row * RowStride(width()));
  EXPECT_EQ(together, each);
}

// A token of a skip list: it is similar to nothing, and counts nothing in the mean.
TEST_P(TokenCodesTest, ARowOfZeros_StaysOne) {
  SampleText text = MakeSampleText({4}, width(), kCell, random_);
  const PackedCodes without = Pack(text.rows, TokenFormat::kTwoBit);
  text.rows.Append(std::vector<float>(width()).data(), 1);
  for (const TokenFormat format : {TokenFormat::kInt8, TokenFormat::kTwoBit}) {
    const PackedCodes packed = Pack(text.rows, format);
    EXPECT_EQ(packed.scales.back(), 0.0f);
    EXPECT_EQ(packed.mean_rows, without.mean_rows);
  }
}

TEST_P(TokenCodesTest, ACellOfOneToken_IsItsMean) {
  const SampleText text = MakeSampleText({1}, width(), kCell, random_);
  const PackedCodes packed = Pack(text.rows, TokenFormat::kTwoBit);
  const TokenCodes codes{.format = TokenFormat::kTwoBit,
                         .width = width(),
                         .rows = packed.rows.data(),
                         .scales = packed.scales.data(),
                         .blends = packed.blends.data()};
  std::vector<uint8_t> decoded(RowStride(width()));
  DecodeTwoBit(codes, packed.mean_rows.data(), 0, 1, decoded.data());
  EXPECT_GT(Cosine(Values(decoded.data(), packed.scales[0], width()), text.values.data()), 0.999);
}

}  // namespace
}  // namespace longspan
