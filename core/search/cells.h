// Cells: how a text is divided for search. A cell is a number of neighbouring tokens (32), and
// everything is a run of cells, so that it is computed once a cell:
//
//   passage   2 cells, one begins with every cell           late interaction, and what is answered
//   block     4 cells, one begins with every second cell    words (BM25), and how rare tokens are
//
// The last passage ends with the text; the last blocks may be shorter. A text of one cell is a
// passage.
//
// Plain values and free functions without state: thread safe.
#pragma once

#include <algorithm>
#include <cstdint>

namespace longspan {

inline constexpr int64_t kCellTokens = 32;
inline constexpr int64_t kCellsOfAPassage = 2;
inline constexpr int64_t kCellsOfABlock = 4;
inline constexpr int64_t kCellsBetweenBlocks = 2;

inline int64_t NumCells(int64_t tokens, int64_t cell_tokens) {
  return (tokens + cell_tokens - 1) / cell_tokens;
}
// Of a text of so many cells; 0 of none.
inline int64_t NumPassages(int64_t cells) {
  return cells == 0 ? 0 : std::max<int64_t>(1, cells - kCellsOfAPassage + 1);
}
inline int64_t NumBlocks(int64_t cells) {
  return (cells + kCellsBetweenBlocks - 1) / kCellsBetweenBlocks;
}
// A block that holds all of the passage.
inline int64_t BlockOfPassage(int64_t passage) { return passage / kCellsBetweenBlocks; }
// The blocks [first, last] that hold the cell.
inline int64_t FirstBlockOf(int64_t cell) {
  return std::max<int64_t>(0, cell - kCellsOfABlock + kCellsBetweenBlocks) / kCellsBetweenBlocks;
}
inline int64_t LastBlockOf(int64_t cell) { return cell / kCellsBetweenBlocks; }

}  // namespace longspan
