#include "client/length_mix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace longspan {
namespace {

using ::testing::HasSubstr;

std::vector<int64_t> Draws(const LengthMix& mix, int count, int64_t max_tokens = 0) {
  std::mt19937_64 random(1);
  std::vector<int64_t> lengths;
  for (int i = 0; i < count; ++i) lengths.push_back(mix.Draw(max_tokens, &random));
  std::sort(lengths.begin(), lengths.end());
  return lengths;
}

TEST(LengthMixTest, Draw_KeepsTheProfilesMedianAndTheModelsLimit) {
  const std::vector<std::pair<const char*, double>> medians = {
      {"chat", 40}, {"rag", 190}, {"contracts", 6000}, {"books", 40000}};
  for (const auto& [profile, median] : medians) {
    const auto mix = LengthMix::OfProfile(profile);
    ASSERT_TRUE(mix.ok()) << mix.status();
    const std::vector<int64_t> lengths = Draws(*mix, 4001);
    EXPECT_NEAR(static_cast<double>(lengths[2000]), median, 0.08 * median) << profile;
    EXPECT_GE(lengths.front(), 1);
    EXPECT_LE(Draws(*mix, 100, 101).back(), 101);
  }
  EXPECT_THAT(LengthMix::OfProfile("poems").status().message(),
              HasSubstr("allowed: chat, rag, contracts, books"));
}

TEST(LengthMixTest, Parse_OneNumber_IsThatLengthAlways) {
  const auto mix = LengthMix::Parse("128");
  ASSERT_TRUE(mix.ok()) << mix.status();
  const std::vector<int64_t> lengths = Draws(*mix, 100);
  EXPECT_EQ(lengths.front(), 128);
  EXPECT_EQ(lengths.back(), 128);
}

TEST(LengthMixTest, Parse_RangeBoundsALogNormal) {
  const auto mix = LengthMix::Parse("74~0.8/8-250");
  ASSERT_TRUE(mix.ok()) << mix.status();
  const std::vector<int64_t> lengths = Draws(*mix, 4001);
  EXPECT_EQ(lengths.front(), 8);
  EXPECT_EQ(lengths.back(), 250);
  EXPECT_NEAR(static_cast<double>(lengths[2000]), 74, 4);
}

TEST(LengthMixTest, Parse_SharesAreKept) {
  const auto mix = LengthMix::Parse("95%:74~0.8/8-250,5%:32768");
  ASSERT_TRUE(mix.ok()) << mix.status();
  const std::vector<int64_t> lengths = Draws(*mix, 10000);
  const auto long_ones = std::count(lengths.begin(), lengths.end(), 32768);
  EXPECT_NEAR(static_cast<double>(long_ones), 500, 100);
  EXPECT_LE(lengths[10000 - long_ones - 1], 250);
}

TEST(LengthMixTest, Mean_IsThatOfTheMixture_WithinTheModelsBound) {
  EXPECT_EQ(LengthMix::Parse("128")->Mean(0), 128);
  EXPECT_NEAR(LengthMix::Parse("90%:100,10%:1000")->Mean(0), 190, 1);
  EXPECT_NEAR(LengthMix::Parse("90%:100,10%:1000")->Mean(500), 140, 1);
  // The mean of a log-normal is exp(mu + sigma^2 / 2); lengths are rounded down to whole tokens.
  EXPECT_NEAR(LengthMix::Parse("100~0.6")->Mean(0), 100 * std::exp(0.6 * 0.6 / 2), 1);
}

TEST(LengthMixTest, Parse_NamesTheComponentThatIsWrong) {
  for (const char* bad : {"", "x", "0", "-5", "128~", "128/9", "128/9-8", "128/0-8", "5:128",
                          "101%:128", "nan", "128~inf", "0%:1,100%:2"}) {
    const auto mix = LengthMix::Parse(bad);
    ASSERT_FALSE(mix.ok()) << bad;
    EXPECT_THAT(mix.status().message(), HasSubstr("[SHARE%:]MEDIAN[~SIGMA][/MIN-MAX]")) << bad;
  }
  EXPECT_THAT(LengthMix::Parse("50%:10,40%:20").status().message(), HasSubstr("sum to 90 %"));
}

}  // namespace
}  // namespace longspan
