// The index rules of Reformer's attention on the device.
#include "core/cuda/kernels/lsh_index.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <set>
#include <vector>

namespace longspan::cuda {
namespace {

BucketFactors Factors(const std::vector<int>& factors) {
  BucketFactors made;
  for (const int factor : factors) made.factors[made.num_factors++] = factor;
  return made;
}

TEST(LshIndex, ChunksLieInACircleAndLargeOffsetsDoNotShift) {
  for (int n = 1; n < 7; ++n) {
    for (int c = 0; c < n; ++c) {
      for (int offset = -8; offset <= 8; ++offset) {
        const int want = std::abs(offset) >= n ? c : (c + offset + n) % n;
        EXPECT_EQ(CircularChunk(c, offset, n), want) << c << " + " << offset << " of " << n;
      }
    }
  }
}

TEST(LshIndex, MaskedScoresComeBackExactly) {
  EXPECT_EQ(NaturalMaximum(kSelfScore2), -1e5F);
  EXPECT_EQ(NaturalMaximum(kMaskScore2), -1e9F);
  EXPECT_FLOAT_EQ(NaturalMaximum(kLog2E * 3), 3.0F);
}

TEST(LshIndex, SelfReplacesTheOtherMaskInLshLayersOnly) {
  EXPECT_EQ(MaskedScore(1.0F, true, 5, 5, kNeverVisible), kSelfScore2);
  EXPECT_EQ(MaskedScore(1.0F, false, 5, 5, kNeverVisible), kMaskScore2);
  EXPECT_EQ(MaskedScore(1.0F, false, 5, 5, VisibleFrom(true, true, 5)), 1.0F);
  EXPECT_EQ(MaskedScore(1.0F, true, 5, 6, VisibleFrom(true, true, 6)), kMaskScore2);
  EXPECT_EQ(MaskedScore(1.0F, true, 5, 6, VisibleFrom(true, false, 6)), 1.0F);
}

TEST(LshIndex, TheFirstMaximumWinsWhateverTheOrder) {
  BestDirection best;
  const float y[4] = {0.0F, -2.0F, 2.0F, -0.0F};  // with -y: 0 -2 2 0 | 0 2 -2 0
  for (const int i : {3, 1, 2, 0}) MeetColumn(best, y[i], i, 4);
  EXPECT_EQ(best.index, 2);
  BestDirection zeros;
  for (const int i : {3, 1, 2, 0}) MeetColumn(zeros, i % 2 ? -0.0F : 0.0F, i, 3);
  EXPECT_EQ(zeros.index, 0);
}

TEST(LshIndex, TilesHoldEachColumnOfEachFactorOnce) {
  for (const std::vector<int>& sizes :
       {std::vector<int>{2}, {64}, {66}, {64, 128}, {4, 6, 10}, {512, 2, 130}}) {
    const BucketFactors f = Factors(sizes);
    const int rounds = 3;
    std::set<int> sources;
    for (int i = 0; i < rounds * RoundTiles(f); ++i) {
      const HashTile tile = FindHashTile(f, i);
      EXPECT_EQ(tile.opens_factor, tile.first == 0);
      EXPECT_EQ(tile.closes_factor, tile.first + kHashColumns >= tile.half);
      EXPECT_EQ(tile.opens_round, i % RoundTiles(f) == 0);
      EXPECT_EQ(tile.closes_round, (i + 1) % RoundTiles(f) == 0);
      for (int column = tile.first; column < tile.half && column < tile.first + kHashColumns;
           ++column) {
        EXPECT_TRUE(sources.insert(tile.source + column - tile.first).second);
      }
    }
    EXPECT_EQ(static_cast<int>(sources.size()), rounds * RoundColumns(f));
    EXPECT_EQ(*sources.rbegin(), rounds * RoundColumns(f) - 1);
  }
}

TEST(LshIndex, SortKeysOrderHeadsRoundsTextsBuckets) {
  const int heads = 2, rounds = 3, texts = 2, buckets = BucketsARound(4, true);
  uint32_t next = 0;
  for (int head = 0; head < heads; ++head) {
    for (int round = 0; round < rounds; ++round) {
      for (int text = 0; text < texts; ++text) {
        for (int bucket = 0; bucket < buckets; ++bucket) {
          EXPECT_EQ(SortKey(head, round, text, bucket, rounds, texts, buckets), next++);
        }
      }
    }
  }
  EXPECT_EQ(NumSortKeys(heads, rounds, texts, buckets), next);
}

TEST(LshIndex, SortKeyBitsHoldAllKeysAndNoMore) {
  for (const uint64_t keys : {2, 3, 4, 5, 255, 256, 257}) {
    EXPECT_GE(uint64_t{1} << SortKeyBits(keys), keys);
    EXPECT_LT(uint64_t{1} << (SortKeyBits(keys) - 1), keys);
  }
  EXPECT_EQ(SortKeyBits(1), 1) << "a sort takes at least one bit";
}

TEST(LshIndex, KeysOfAChunkReachIntoTheRoundBefore) {
  // Rows 8 to 15, chunks of 4, two rounds of 16 rows: chunk 0 of round 1 looks back at the last
  // chunk of round 0.
  const ChunkView view = ViewChunk(8, 8, 0, 0, 1, 2, 16, 4, 1, 0);
  ASSERT_EQ(view.num_keys, 8);
  const std::vector<int64_t> want = {12, 13, 14, 15, 24, 25, 26, 27};
  for (int j = 0; j < view.num_keys; ++j) EXPECT_EQ(KeySlot(view, j), want[j]);
}

TEST(LshIndex, ATextOfOneChunkHasOneRoundAndSeesItself) {
  const ChunkView view = ViewChunk(8, 3, 0, 1, 0, 2, 16, 4, 1, 1);
  ASSERT_EQ(view.num_keys, 3);
  for (int j = 0; j < 3; ++j) EXPECT_EQ(KeySlot(view, j), 32 + 8 + j);
  EXPECT_EQ(ViewChunk(8, 3, 0, 1, 1, 2, 16, 4, 1, 1).num_keys, 0);
}

TEST(LshIndex, SpansAreFoundAlsoBehindEmptyOnes) {
  const int32_t begins[] = {0, 3, 3, 4, 9};
  const int want[] = {0, 0, 0, 2, 3, 3, 3, 3, 3};
  for (int x = 0; x < 9; ++x) EXPECT_EQ(FindSpan(begins, 4, x), want[x]) << x;
}

// Shared memory has 32 banks of 4 bytes: eight units of 16 bytes may be read at once where they are
// different modulo 8.
template <int kD>
void ExpectNoBankConflicts() {
  std::set<int> all;
  for (int first = 0; first < 64; first += 8) {
    for (int unit = 0; unit < kD / 8; ++unit) {
      std::set<int> banks;
      for (int row = first; row < first + 8; ++row) {
        banks.insert(SwizzledUnit<kD>(row, unit) % 8);
        all.insert(SwizzledUnit<kD>(row, unit));
      }
      EXPECT_EQ(banks.size(), 8U) << "unit " << unit << " of rows from " << first;
    }
  }
  EXPECT_EQ(static_cast<int>(all.size()), 64 * kD / 8);
  EXPECT_EQ(*all.rbegin(), 64 * kD / 8 - 1);
}
TEST(LshIndex, EightRowsOfATileLieInDifferentBanks) {
  ExpectNoBankConflicts<32>();
  ExpectNoBankConflicts<64>();
  ExpectNoBankConflicts<128>();
}

TEST(LshIndex, FactorsAreEvenAndTheirProductFits) {
  EXPECT_TRUE(AreValid(Factors({2})));
  EXPECT_TRUE(AreValid(Factors({64, 128})));
  EXPECT_FALSE(AreValid(Factors({})));
  EXPECT_FALSE(AreValid(Factors({3})));
  EXPECT_FALSE(AreValid(Factors({4, 0})));
  EXPECT_FALSE(AreValid(Factors({-2, -2})));
  EXPECT_FALSE(AreValid(Factors({32768, 32768})));
}

}  // namespace
}  // namespace longspan::cuda
