// The arithmetic of cells against blocks that are written out.
#include "core/search/cells.h"

#include <gmock/gmock.h>

#include <utility>
#include <vector>

namespace longspan {
namespace {

std::vector<std::pair<int64_t, int64_t>> Blocks(int64_t cells) {
  std::vector<std::pair<int64_t, int64_t>> blocks;
  for (int64_t b = 0; b < NumBlocks(cells); ++b)
    blocks.emplace_back(2 * b, std::min<int64_t>(2 * b + 4, cells));
  return blocks;
}

TEST(Cells, BlocksCoverTheText_AndBeginInIt) {
  EXPECT_EQ(NumBlocks(0), 0);
  EXPECT_EQ(NumPassages(0), 0);
  for (int64_t cells = 1; cells < 40; ++cells) {
    const auto blocks = Blocks(cells);
    EXPECT_EQ(blocks.back().second, cells);
    EXPECT_LT(blocks.back().first, cells);
    EXPECT_GE(blocks.back().first + kCellsBetweenBlocks, cells);
    EXPECT_EQ(NumPassages(cells), std::max<int64_t>(1, cells - 1));
  }
}

TEST(Cells, TheBlocksOfACell_AreThoseThatHoldIt) {
  for (int64_t cells = 1; cells < 40; ++cells) {
    const auto blocks = Blocks(cells);
    for (int64_t cell = 0; cell < cells; ++cell) {
      std::vector<int64_t> hold, told;
      for (size_t b = 0; b < blocks.size(); ++b) {
        if (blocks[b].first <= cell && cell < blocks[b].second)
          hold.push_back(static_cast<int64_t>(b));
      }
      for (int64_t b = FirstBlockOf(cell); b <= LastBlockOf(cell); ++b) told.push_back(b);
      EXPECT_EQ(told, hold) << cell << " of " << cells;
    }
  }
}

TEST(Cells, TheBlockOfAPassage_HoldsAllOfIt) {
  for (int64_t cells = 1; cells < 40; ++cells) {
    for (int64_t passage = 0; passage < NumPassages(cells); ++passage) {
      const auto [begin, end] = Blocks(cells)[BlockOfPassage(passage)];
      EXPECT_LE(begin, passage);
      EXPECT_LE(std::min(passage + kCellsOfAPassage, cells), end) << passage << " of " << cells;
    }
  }
}

TEST(Cells, AStartedCellCounts) {
  EXPECT_EQ(NumCells(0, 32), 0);
  EXPECT_EQ(NumCells(1, 32), 1);
  EXPECT_EQ(NumCells(32, 32), 1);
  EXPECT_EQ(NumCells(33, 32), 2);
}

}  // namespace
}  // namespace longspan
