// The tiles of the device's windowed attention: each pair of a row and a key that it sees is
// computed once, and no other. The last test runs the kernel's algorithm over them on the
// processor.
#include "core/cuda/kernels/band_tiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace longspan::cuda {
namespace {

constexpr int kWindows[] = {0, 1, 17, 63, 64, 65, 100, 256, kBandMaxWindow};

// Calls tile(group_row, key) for each tile that a group of the block computes.
template <typename Tile>
void ForEachTile(const BandBlock& block, int window, Tile tile) {
  const BandKeys keys = KeysOf(block, window);
  for (int group = 0; group < kBandGroups; ++group) {
    const int group_row = block.first_row + group * kBandGroupRows;
    for (int t = 0; t < keys.tiles; ++t) {
      const int key = keys.begin + t * kBandTileKeys;
      if (SeesTile(group_row, key, window, block.text_end)) tile(group_row, key);
    }
  }
}

class BandTilesOfWindow : public testing::TestWithParam<int> {};

TEST_P(BandTilesOfWindow, HoldEachSeenPairOnce) {
  const int window = GetParam();
  for (const BandBlock& block : BlocksOfTexts({700, 1, 63, 64, 65, 127, 128, 129, 330, 2})) {
    const int rows = Smaller(kBandRows, block.text_end - block.first_row);
    const int text = block.text_end - block.text_begin;
    std::vector<int> times(static_cast<size_t>(rows) * text);
    ForEachTile(block, window, [&](int group_row, int key) {
      const bool whole = SeesWholeTile(group_row, key, window, block.text_end);
      for (int r = 0; r < kBandGroupRows; ++r) {
        const int row = group_row + r;
        const TileColumns seen = SeenColumns(row, key, window, block.text_end);
        for (int c = 0; c < kBandTileKeys; ++c) {
          const bool sees = c >= seen.first && c <= seen.last;
          ASSERT_TRUE(sees || !whole) << "row " << row << " key " << key + c;
          if (!sees || row >= block.text_end) continue;
          ASSERT_LT(key + c, block.text_end);
          ASSERT_GE(key + c, block.text_begin);
          ++times[static_cast<size_t>(row - block.first_row) * text + key + c - block.text_begin];
        }
      }
    });
    for (int r = 0; r < rows; ++r) {
      for (int k = 0; k < text; ++k) {
        const bool sees = std::abs(block.first_row + r - (block.text_begin + k)) <= window;
        ASSERT_EQ(times[static_cast<size_t>(r) * text + k], sees ? 1 : 0)
            << "row " << block.first_row + r << " key " << block.text_begin + k;
      }
    }
  }
}

// A group computes no more than the tiles that its rows' keys fill, and one for where they begin.
TEST_P(BandTilesOfWindow, AreFew) {
  const int window = GetParam();
  for (const BandBlock& block : BlocksOfTexts({2000, 5, 300})) {
    int64_t tiles = 0;
    ForEachTile(block, window, [&](int, int) { ++tiles; });
    const int64_t text = block.text_end - block.text_begin;
    const int64_t keys = std::min<int64_t>(text, int64_t{2} * window + kBandGroupRows);
    EXPECT_LE(tiles, kBandGroups * (keys / kBandTileKeys + 2)) << "row " << block.first_row;
  }
}

INSTANTIATE_TEST_SUITE_P(BandTiles, BandTilesOfWindow, testing::ValuesIn(kWindows));

TEST(BandTiles, OfLongformerAreNineForAGroup) {
  for (const BandBlock& block : BlocksOfTexts({4096})) {
    if (block.first_row < 256 || block.first_row + kBandRows + 256 > 4096) continue;
    int tiles = 0;
    ForEachTile(block, 256, [&](int, int) { ++tiles; });
    EXPECT_EQ(tiles, 9 * kBandGroups);
  }
}

TEST(SwizzledOffset, KeepsEachChunkAndSpreadsAColumnOverTheBanks) {
  for (const int row_bytes : {64, 128}) {
    const int chunks = row_bytes / 16;
    std::set<int> places;
    for (int row = 0; row < kBandTileKeys; ++row) {
      for (int chunk = 0; chunk < chunks; ++chunk) {
        const int place = SwizzledOffset(row, chunk, row_bytes);
        EXPECT_EQ(place / row_bytes, row);
        places.insert(place);
      }
    }
    EXPECT_EQ(places.size(), static_cast<size_t>(kBandTileKeys) * chunks);
    EXPECT_EQ(*places.rbegin(), kBandTileKeys * row_bytes - 16);
    for (int chunk = 0; chunk < chunks; ++chunk) {
      std::set<int> banks;  // of 16 bytes: 8 of them are all 32 banks of 4
      for (int row = 0; row < 8; ++row) {
        banks.insert(SwizzledOffset(row, chunk, row_bytes) / 16 % 8);
      }
      EXPECT_EQ(banks.size(), 8U) << row_bytes;
    }
  }
}

// What one row carries from tile to tile.
struct Online {
  double max = -INFINITY;
  double sum = 0;
  double out = 0;

  void Add(double score, double value) {
    const double next = std::fmax(max, score);
    const double old = max == -INFINITY ? 0 : std::exp(max - next);
    sum = sum * old + std::exp(score - next);
    out = out * old + std::exp(score - next) * value;
    max = next;
  }
};

// Rows of the window and of global tokens, as the kernel adds them, against the definition: softmax
// over the keys at most a window away and the global tokens of the text, each once.
TEST(BandTiles, WithGlobalsAreTheSoftmaxOfWindowAndGlobals) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  for (int round = 0; round < 40; ++round) {
    std::vector<int> lengths(1 + random() % 4);
    for (int& length : lengths) length = 1 + static_cast<int>(random() % 400);
    const int window = kWindows[random() % std::size(kWindows)];
    std::vector<std::vector<int>> globals;  // rows, in order
    int tokens = 0;
    for (const int length : lengths) {
      std::set<int> of_text;
      for (int n = static_cast<int>(random() % 4); n > 0; --n) {
        of_text.insert(tokens + static_cast<int>(random() % length));
      }
      globals.emplace_back(of_text.begin(), of_text.end());
      tokens += length;
    }
    std::vector<double> query(tokens), key(tokens), value(tokens);
    for (auto* values : {&query, &key, &value}) {
      for (double& x : *values) x = normal(random);
    }
    for (const BandBlock& block : BlocksOfTexts(lengths)) {
      std::vector<Online> rows(kBandRows);
      ForEachTile(block, window, [&](int group_row, int tile) {
        for (int r = 0; r < kBandGroupRows; ++r) {
          const int row = group_row + r;
          if (row >= block.text_end) break;
          const TileColumns seen = SeenColumns(row, tile, window, block.text_end);
          for (int c = Larger(seen.first, 0); c <= Smaller(seen.last, kBandTileKeys - 1); ++c) {
            rows[row - block.first_row].Add(query[row] * key[tile + c], value[tile + c]);
          }
        }
      });
      const std::vector<int>& listed = globals[block.text];
      if (!listed.empty() && !WindowsHoldGlobals(block, listed.front(), listed.back(), window)) {
        for (int row = block.first_row; row < Smaller(block.first_row + kBandRows, block.text_end);
             ++row) {
          for (const int g : listed) {
            if (!IsBeyondWindow(row, g, window)) continue;
            rows[row - block.first_row].Add(query[row] * key[g], value[g]);
          }
        }
      }
      for (int row = block.first_row; row < Smaller(block.first_row + kBandRows, block.text_end);
           ++row) {
        double sum = 0, out = 0;
        const std::set<int> is_global(listed.begin(), listed.end());
        for (int k = block.text_begin; k < block.text_end; ++k) {
          if (std::abs(row - k) > window && !is_global.contains(k)) continue;
          sum += std::exp(query[row] * key[k]);
          out += std::exp(query[row] * key[k]) * value[k];
        }
        const Online& got = rows[row - block.first_row];
        ASSERT_NEAR(got.out / got.sum, out / sum, 1e-9) << "row " << row << " window " << window;
        ASSERT_NEAR(got.max + std::log(got.sum), std::log(sum), 1e-9) << "row " << row;
      }
    }
  }
}

}  // namespace
}  // namespace longspan::cuda
