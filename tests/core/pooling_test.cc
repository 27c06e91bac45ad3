#include "core/pooling.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <limits>
#include <random>
#include <utility>

#include "tests/core/header_example.h"

namespace longspan {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr PoolingMode kAllModes[] = {PoolingMode::kCls,          PoolingMode::kMax,
                                     PoolingMode::kMean,         PoolingMode::kMeanSqrtLen,
                                     PoolingMode::kWeightedMean, PoolingMode::kLastToken};

// The rules of pooling.h, one range and one mode at a time, over all rows.
std::vector<float> Reference(PoolingMode mode, const std::vector<float>& rows, int64_t width,
                             TokenRange range, const std::vector<uint8_t>& read) {
  std::vector<double> result(static_cast<size_t>(width), 0.0);
  int64_t seen = 0;
  double weights = 0;
  for (int64_t t = range.begin; t < range.end; ++t) {
    if (read[static_cast<size_t>(t)] == 0) continue;
    const double weight =
        mode == PoolingMode::kWeightedMean ? static_cast<double>(t - range.begin + 1) : 1.0;
    for (int64_t d = 0; d < width; ++d) {
      const double x = rows[static_cast<size_t>(t * width + d)];
      double& r = result[static_cast<size_t>(d)];
      switch (mode) {
        case PoolingMode::kCls:
          r = seen == 0 ? x : r;
          break;
        case PoolingMode::kLastToken:
          r = x;
          break;
        case PoolingMode::kMax:
          r = seen == 0 ? x : std::max(r, x);
          break;
        default:
          r += weight * x;
      }
    }
    ++seen;
    weights += weight;
  }
  const bool mean = mode == PoolingMode::kMean || mode == PoolingMode::kWeightedMean;
  const double divisor = seen == 0                           ? 1
                         : mean                              ? weights
                         : mode == PoolingMode::kMeanSqrtLen ? std::sqrt(weights)
                                                             : 1;
  std::vector<float> vector;
  for (const double r : result) vector.push_back(static_cast<float>(r / divisor));
  return vector;
}

std::vector<float> RandomRows(int64_t n, int64_t width, std::mt19937* random) {
  std::vector<float> rows(static_cast<size_t>(n * width));
  std::normal_distribution<float> normal(0.3F, 1.0F);
  for (float& value : rows) value = normal(*random);
  return rows;
}

std::vector<std::vector<float>> PoolInBlocks(const PoolingTask& task,
                                             const std::vector<float>& rows, int64_t block) {
  StreamingPooler pooler(task);
  const auto n = static_cast<int64_t>(rows.size()) / task.dimensions;
  for (int64_t begin = 0; begin < n; begin += block) {
    pooler.Add(rows.data() + begin * task.dimensions, std::min(block, n - begin));
  }
  std::vector<std::vector<float>> vectors;
  for (size_t i = 0; i < task.ranges.size(); ++i) vectors.push_back(pooler.TakeVector(i));
  return vectors;
}

TEST(StreamingPooler, Add_FollowsEachModesRule) {
  const std::vector<float> rows = {1, -4, 3, 2, 8, -1};  // three rows of two
  const auto pool = [&](PoolingMode mode) {
    return PoolInBlocks({.modes = {mode}, .dimensions = 2, .ranges = {{0, 3}}}, rows, 3)[0];
  };
  EXPECT_THAT(pool(PoolingMode::kCls), ElementsAre(1, -4));
  EXPECT_THAT(pool(PoolingMode::kLastToken), ElementsAre(8, -1));
  EXPECT_THAT(pool(PoolingMode::kMax), ElementsAre(8, 2));
  EXPECT_THAT(pool(PoolingMode::kMean), ElementsAre(4, -1));
  EXPECT_THAT(pool(PoolingMode::kMeanSqrtLen),
              ElementsAre(FloatEq(12 / std::sqrt(3.0F)), FloatEq(-3 / std::sqrt(3.0F))));
  EXPECT_THAT(pool(PoolingMode::kWeightedMean),
              ElementsAre(FloatEq(31.0F / 6), FloatEq(-3.0F / 6)));
}

TEST(StreamingPooler, Modes_AreConcatenatedInTheirOrder) {
  const std::vector<float> rows = {1, 3, 8};
  EXPECT_THAT(PoolInBlocks({.modes = {PoolingMode::kMax, PoolingMode::kCls, PoolingMode::kMean},
                            .dimensions = 1,
                            .ranges = {{0, 3}}},
                           rows, 2)[0],
              ElementsAre(8, 1, 4));
}

TEST(StreamingPooler, PoolingBegin_LeavesThePromptOutButCountsItsSlots) {
  const std::vector<float> rows = {100, 200, 1, 5};
  const auto pool = [&](PoolingMode mode) {
    return PoolInBlocks({.modes = {mode}, .dimensions = 1, .ranges = {{0, 4}}, .pooling_begin = 2},
                        rows, 4)[0][0];
  };
  EXPECT_EQ(pool(PoolingMode::kCls), 1);
  EXPECT_EQ(pool(PoolingMode::kMean), 3);
  EXPECT_EQ(pool(PoolingMode::kMax), 5);
  EXPECT_FLOAT_EQ(pool(PoolingMode::kWeightedMean), (3 * 1 + 4 * 5) / 7.0F);
}

TEST(StreamingPooler, Mask_HolesTakeNoPart) {
  const std::vector<float> rows = {50, 2, 60, 4, 70};
  const std::vector<uint8_t> mask = {0, 1, 0, 1, 0};
  const auto pool = [&](PoolingMode mode) {
    return PoolInBlocks(
        {.modes = {mode}, .dimensions = 1, .ranges = {{0, 5}}, .attention_mask = mask}, rows,
        1)[0][0];
  };
  EXPECT_EQ(pool(PoolingMode::kCls), 2);
  EXPECT_EQ(pool(PoolingMode::kLastToken), 4);
  EXPECT_EQ(pool(PoolingMode::kMax), 4);
  EXPECT_EQ(pool(PoolingMode::kMean), 3);
  EXPECT_FLOAT_EQ(pool(PoolingMode::kWeightedMean), (2 * 2 + 4 * 4) / 6.0F);
}

TEST(StreamingPooler, ARangeWithoutTokens_GivesZerosNeverNaN) {
  const std::vector<float> rows = {1, 2, 3};
  const std::vector<uint8_t> mask = {1, 0, 0};
  for (const PoolingMode mode : kAllModes) {
    const auto vectors = PoolInBlocks({.modes = {mode},
                                       .dimensions = 1,
                                       .ranges = {{1, 3}, {2, 2}, {0, 0}, {3, 3}},
                                       .attention_mask = mask},
                                      rows, 2);
    for (const auto& vector : vectors) EXPECT_THAT(vector, ElementsAre(0)) << PoolingModeName(mode);
  }
}

// Whatever the ranges (overlapping or not), the mask and the cut into blocks are: the vectors are
// those of each range pooled by itself.
TEST(StreamingPooler, EveryRange_EqualsTheReference_HoweverRowsAreCutIntoBlocks) {
  std::mt19937 random(7);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  for (int round = 0; round < 300; ++round) {
    const int64_t n = 1 + below(60), width = 1 + below(9);
    const std::vector<float> rows = RandomRows(n, width, &random);
    std::vector<uint8_t> mask(static_cast<size_t>(n), 1);
    if (round % 2 == 1)
      std::generate(mask.begin(), mask.end(), [&] { return static_cast<uint8_t>(below(4) != 0); });
    PoolingTask task{.dimensions = width,
                     .pooling_begin = round % 3 == 0 ? below(n + 1) : 0,
                     .attention_mask = mask};
    task.modes.assign(std::begin(kAllModes), std::end(kAllModes));
    std::shuffle(task.modes.begin(), task.modes.end(), random);
    for (int64_t i = 0; i < 1 + below(8); ++i) {
      const int64_t begin = below(n), end = begin + below(n - begin + 1);
      task.ranges.push_back({begin, end});
    }
    task.ranges.push_back({0, n});
    std::vector<uint8_t> read = mask;
    std::fill(read.begin(), read.begin() + task.pooling_begin, uint8_t{0});
    const auto vectors = PoolInBlocks(task, rows, 1 + below(n));
    for (size_t i = 0; i < task.ranges.size(); ++i) {
      std::vector<float> want;
      for (const PoolingMode mode : task.modes) {
        const std::vector<float> part = Reference(mode, rows, width, task.ranges[i], read);
        want.insert(want.end(), part.begin(), part.end());
      }
      ASSERT_THAT(vectors[i], Pointwise(FloatNear(1e-6F), want))
          << "round " << round << " range " << i;
    }
  }
}

// In float32 a running sum of half a million values a little above one is off in the third digit.
TEST(StreamingPooler, Mean_OfHalfAMillionRowsKeepsSixDigits) {
  constexpr int64_t kRows = 524'288, kWidth = 3;
  std::vector<float> block(512 * kWidth);
  StreamingPooler pooler({.modes = {PoolingMode::kMean, PoolingMode::kWeightedMean},
                          .dimensions = kWidth,
                          .ranges = {{0, kRows}, {kRows - 10, kRows}}});
  std::vector<double> sum(kWidth), weighted(kWidth), tail(kWidth);
  for (int64_t t = 0; t < kRows; t += 512) {
    for (int64_t i = 0; i < 512 * kWidth; ++i) {
      const float x = 1000.0F + 0.37F * static_cast<float>((t * kWidth + i) % 1013);
      const int64_t token = t + i / kWidth;
      block[static_cast<size_t>(i)] = x;
      sum[static_cast<size_t>(i % kWidth)] += x;
      weighted[static_cast<size_t>(i % kWidth)] += static_cast<double>(token + 1) * x;
      if (token >= kRows - 10) tail[static_cast<size_t>(i % kWidth)] += x;
    }
    pooler.Add(block.data(), 512);
  }
  const std::vector<float> document = pooler.TakeVector(0), span = pooler.TakeVector(1);
  const double weights = 0.5 * kRows * (kRows + 1.0);
  for (size_t d = 0; d < kWidth; ++d) {
    EXPECT_NEAR(document[d] / (sum[d] / kRows), 1, 1e-6);
    EXPECT_NEAR(document[kWidth + d] / (weighted[d] / weights), 1, 1e-6);
    EXPECT_NEAR(span[d] / (tail[d] / 10), 1, 1e-6);
  }
}

TEST(StreamingPooler, RowsNeeded_EndsWithTheLastRange) {
  EXPECT_EQ(StreamingPooler({.dimensions = 1, .ranges = {{3, 9}, {0, 5}}}).rows_needed(), 9);
  EXPECT_EQ(StreamingPooler({.dimensions = 1, .ranges = {}}).rows_needed(), 0);
}

TEST(StreamingPooler, RowsNeeded_OfClsPoolingStopsAtTheFirstReadTokenOfEachRange) {
  const std::vector<uint8_t> mask = {0, 1, 1, 1, 0, 1, 1, 1};
  const PoolingTask whole{.modes = {PoolingMode::kCls}, .dimensions = 1, .ranges = {{0, 8}}};
  EXPECT_EQ(StreamingPooler(whole).rows_needed(), 1);
  StreamingPooler pooler({.modes = {PoolingMode::kCls},
                          .dimensions = 1,
                          .ranges = {{0, 8}, {4, 7}},
                          .attention_mask = mask});
  ASSERT_EQ(pooler.rows_needed(), 6);
  const std::vector<float> rows = {10, 11, 12, 13, 14, 15};
  pooler.Add(rows.data(), 6);
  EXPECT_THAT(pooler.TakeVector(0), ElementsAre(11));
  EXPECT_THAT(pooler.TakeVector(1), ElementsAre(15));
}

TEST(StreamingPooler, ABadRow_SpoilsOnlyTheRangesThatHoldIt) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> rows = {1, nan, 3, 5};
  for (const PoolingMode mode :
       {PoolingMode::kMean, PoolingMode::kMax, PoolingMode::kWeightedMean}) {
    const auto vectors = PoolInBlocks(
        {.modes = {mode}, .dimensions = 1, .ranges = {{0, 2}, {2, 4}, {0, 4}}}, rows, 4);
    EXPECT_TRUE(std::isnan(vectors[0][0]));
    EXPECT_FALSE(std::isnan(vectors[1][0]));
    // A NaN must reach the encoder's check of the output, through max too.
    EXPECT_TRUE(std::isnan(vectors[2][0]));
  }
}

// The lengths of 4096 overlapping ranges of a long text sum up to 268 million rows; pooling must
// not cost that many row additions.
TEST(StreamingPooler, ManyNestedRanges_CostFarLessThanTheSumOfTheirLengths) {
  constexpr int64_t kRows = 65'536, kWidth = 16;
  PoolingTask task{.dimensions = kWidth};
  for (int64_t i = 0; i < 4096; ++i) task.ranges.push_back({i % 8, kRows - i % 16});
  std::mt19937 random(3);
  const std::vector<float> rows = RandomRows(kRows, kWidth, &random);
  const std::clock_t start = std::clock();
  const auto vectors = PoolInBlocks(task, rows, 1024);
  // Adding each row to each range would take many seconds.
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 1.0);
  const std::vector<uint8_t> read(kRows, 1);
  EXPECT_THAT(vectors[4095], Pointwise(FloatNear(1e-6F), Reference(PoolingMode::kMean, rows, kWidth,
                                                                   task.ranges[4095], read)));
}

// Ranges that overlap in every way that is known to be hard: each row is added once, and a range
// costs a few merges, whatever the others are. Counted, not timed.
TEST(StreamingPooler, TheWork_IsThatOfRowsAndRanges_HoweverTheyOverlap) {
  constexpr int64_t kRows = 8'000, kRanges = 65'536, kMostMerges = 12;
  std::mt19937 random(5);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  using Range = std::function<TokenRange(int64_t)>;
  const std::pair<const char*, Range> shapes[] = {
      {"all alike",
       [](int64_t) {
         return TokenRange{0, kRows};
       }},
      {"nested",
       [](int64_t i) {
         const int64_t inset = i % (kRows / 2);
         return TokenRange{inset, kRows - inset};
       }},
      {"every begin with late ends",
       [](int64_t i) {
         return TokenRange{i % 4000, 4000 + 1 + (i / 4000 * 37 + i) % 4000};
       }},
      {"sliding",
       [](int64_t i) {
         return TokenRange{i % 7000, i % 7000 + 1000};
       }},
      {"the latest begin ends first",
       [](int64_t i) {
         return TokenRange{3999 - i % 4000, 4000 + i % 4000};
       }},
      {"the earliest begin ends first",
       [](int64_t i) {
         return TokenRange{i % 4000, 4000 + i % 4000};
       }},
      {"random",
       [&](int64_t) {
         const int64_t begin = below(kRows);
         return TokenRange{begin, begin + 1 + below(kRows - begin)};
       }},
  };
  const std::vector<float> rows(kRows, 1.0F);
  for (const auto& [name, range] : shapes) {
    PoolingTask task{.dimensions = 1};
    for (int64_t i = 0; i < kRanges; ++i) task.ranges.push_back(range(i));
    StreamingPooler pooler(task);
    pooler.Add(rows.data(), kRows);
    EXPECT_LE(pooler.work(), kRows + kMostMerges * kRanges) << name;
    EXPECT_EQ(pooler.TakeVector(kRanges - 1), std::vector<float>{1}) << name;
  }
}

TEST(StreamingPooler, WhatNoOpenRangeNeeds_IsGivenBack) {
  constexpr int64_t kRows = 10'000, kLength = 100, kWidth = 4;
  PoolingTask task{.dimensions = kWidth};
  for (int64_t i = 0; i + kLength <= kRows; ++i) task.ranges.push_back({i, i + kLength});
  StreamingPooler pooler(task);
  const std::vector<float> row(kWidth, 1.0F);
  int64_t most = 0;
  for (int64_t i = 0; i < kRows; ++i) {
    pooler.Add(row.data(), 1);
    most = std::max(most, pooler.held_bytes());
  }
  EXPECT_LE(most, (kLength + 2) * kWidth * static_cast<int64_t>(sizeof(double)));
  EXPECT_LE(pooler.held_bytes(), kWidth * static_cast<int64_t>(sizeof(double)));
}

// Many ranges in groups of few begins: each group reads its rows anew, and all together give what
// one pooler gives.
TEST(GroupRanges, GiveEachRangeOnce_WithBoundedSegments) {
  std::mt19937 random(11);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  constexpr int64_t kRows = 300, kWidth = 3, kBegins = 20;
  const std::vector<float> rows = RandomRows(kRows, kWidth, &random);
  PoolingTask task{.modes = {PoolingMode::kMax, PoolingMode::kWeightedMean}, .dimensions = kWidth};
  for (int64_t i = 0; i < 500; ++i) {
    const int64_t begin = below(kRows);
    task.ranges.push_back({begin, begin + 1 + below(kRows - begin)});
  }
  task.ranges.push_back({7, 7});
  const int64_t segment_bytes = PoolingNeeds(task.modes).bytes_per_value() * kWidth;
  const auto together = PoolInBlocks(task, rows, kRows);
  const auto groups = GroupRanges(task, kBegins * segment_bytes);
  EXPECT_GT(groups.size(), 10U);
  std::vector<int> seen(task.ranges.size());
  for (const std::vector<size_t>& group : groups) {
    PoolingTask part = task;
    part.ranges.clear();
    for (const size_t range : group) part.ranges.push_back(task.ranges[range]);
    StreamingPooler pooler(part);
    const int64_t first = pooler.first_row();
    pooler.Skip(first);
    for (int64_t row = first; row < pooler.rows_needed(); ++row) {
      pooler.Add(rows.data() + row * kWidth, 1);
      EXPECT_LE(pooler.held_bytes(), kBegins * segment_bytes);
    }
    for (size_t i = 0; i < group.size(); ++i) {
      ++seen[group[i]];
      EXPECT_THAT(pooler.TakeVector(i), Pointwise(FloatNear(1e-6F), together[group[i]]));
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), 500);
  EXPECT_EQ(seen.back(), 0) << "an empty range is in no group";
}

TEST(StreamingPooler, ManyRandomRanges_EqualTheReference) {
  std::mt19937 random(23);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  for (int round = 0; round < 20; ++round) {
    const int64_t n = 40 + below(60), width = 2;
    const std::vector<float> rows = RandomRows(n, width, &random);
    std::vector<uint8_t> mask(static_cast<size_t>(n), 1);
    std::generate(mask.begin(), mask.end(), [&] { return static_cast<uint8_t>(below(5) != 0); });
    PoolingTask task{.dimensions = width, .attention_mask = mask};
    task.modes.assign(std::begin(kAllModes), std::end(kAllModes));
    for (int64_t i = 0; i < 300; ++i) {
      const int64_t begin = below(n);
      task.ranges.push_back({begin, begin + 1 + below(n - begin)});
    }
    const auto vectors = PoolInBlocks(task, rows, 1 + below(n));
    for (size_t i = 0; i < task.ranges.size(); ++i) {
      std::vector<float> want;
      for (const PoolingMode mode : task.modes) {
        const std::vector<float> part = Reference(mode, rows, width, task.ranges[i], mask);
        want.insert(want.end(), part.begin(), part.end());
      }
      ASSERT_THAT(vectors[i], Pointwise(FloatNear(1e-6F), want)) << "round " << round << " " << i;
    }
  }
}

TEST(RowsNeeded, OfManyClsRangesBehindAMask_LooksAtEachTokenOnce) {
  constexpr int64_t kTokens = 100'000;
  const std::vector<uint8_t> mask(kTokens, 0);  // a quadratic search would take minutes
  PoolingTask task{.modes = {PoolingMode::kCls}, .dimensions = 1, .attention_mask = mask};
  for (int64_t i = 0; i < 65'536; ++i) task.ranges.push_back({i % 1000, kTokens});
  EXPECT_EQ(RowsNeeded(task), kTokens);
}

TEST(NormalizeL2, GivesUnitLengthAndKeepsZeros) {
  std::vector<float> vector = {3, 4}, zeros = {0, 0, 0}, tiny = {1e-30F, 0}, huge = {3e38F, 3e38F};
  NormalizeL2(vector);
  NormalizeL2(zeros);
  NormalizeL2(tiny);
  NormalizeL2(huge);
  EXPECT_THAT(vector, ElementsAre(FloatEq(0.6F), FloatEq(0.8F)));
  EXPECT_THAT(zeros, Each(0.0F));
  EXPECT_THAT(tiny, ElementsAre(FloatEq(1e-18F), 0.0F));  // divided by 1e-12, not by its own length
  EXPECT_THAT(huge, Each(FloatEq(std::sqrt(0.5F))));
}

TEST(CutAndNormalize, CutsFirstThenNormalises) {
  std::vector<float> vector = {3, 4, 12}, all = {3, 4}, raw = {3, 4, 12};
  CutAndNormalize(2, true, &vector);
  CutAndNormalize(0, true, &all);
  CutAndNormalize(2, false, &raw);
  EXPECT_THAT(vector, ElementsAre(FloatEq(0.6F), FloatEq(0.8F)));
  EXPECT_THAT(all, ElementsAre(FloatEq(0.6F), FloatEq(0.8F)));
  EXPECT_THAT(raw, ElementsAre(3, 4));
}

TEST(StreamingPooler, ExampleOfTheHeader) {
  const std::vector<PoolingMode> modes = {PoolingMode::kMean};
  const int64_t n = 4, D = 2;
  const std::vector<float> rows = {1, 10, 2, 20, 3, 30, 6, 60};
  // Example of core/pooling.h: begin
  StreamingPooler pooler({.modes = modes, .dimensions = D, .ranges = {{0, n}, {2, 4}}});
  for (int64_t row = 0; row < pooler.rows_needed(); ++row) pooler.Add(&rows[row * D], 1);
  const std::vector<float> document = pooler.TakeVector(0);
  const std::vector<float> span = pooler.TakeVector(1);
  // Example of core/pooling.h: end
  EXPECT_THAT(document, ElementsAre(3, 30));
  EXPECT_THAT(span, ElementsAre(4.5, 45));
  ExpectExampleOfHeader("core/pooling.h", "tests/core/pooling_test.cc");
}

}  // namespace
}  // namespace longspan
