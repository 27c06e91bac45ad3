// The tiles of windowed attention on the device: which keys a block of query rows reads, and which
// of a tile's keys a row sees. Rows are those of a packed batch, text behind text; they and windows
// stay below 2^29, so that sums of them fit an int.
//
// A block is kBandRows query rows of one text, in kBandGroups groups of kBandGroupRows. It reads
// its keys in tiles of kBandTileKeys; the groups share the tiles, and each skips those of which
// none of its rows sees a key. At 256 keys on either side a group computes 9 tiles for 513 keys.
// Source of the pattern: Longformer, arXiv 2004.05150, sec. 3.1.
#pragma once

#include <cstddef>
#include <vector>

#include "core/cuda/kernels/host_device.h"

namespace longspan::cuda {

inline constexpr int kBandGroupRows = 64;
inline constexpr int kBandGroups = 2;
inline constexpr int kBandRows = kBandGroups * kBandGroupRows;
inline constexpr int kBandTileKeys = 64;
inline constexpr int kBandMaxWindow = 1 << 29;  // sees everything

// A block of query rows. The layout is that of four ints in the device's memory.
struct BandBlock {
  int first_row;
  int text_begin;  // first row of the text
  int text_end;    // one past its last
  int text;        // its number in the batch
};

// The blocks of texts of these lengths, packed one behind the other.
inline std::vector<BandBlock> BlocksOfTexts(const std::vector<int>& lengths) {
  std::vector<BandBlock> blocks;
  int begin = 0;
  for (size_t text = 0; text < lengths.size(); ++text) {
    for (int row = 0; row < lengths[text]; row += kBandRows) {
      blocks.push_back({begin + row, begin, begin + lengths[text], static_cast<int>(text)});
    }
    begin += lengths[text];
  }
  return blocks;
}

// The first key that a block reads and the number of its tiles. The last tile may reach beyond the
// text.
struct BandKeys {
  int begin;
  int tiles;
};

LONGSPAN_HOST_DEVICE int Smaller(int a, int b) { return a < b ? a : b; }
LONGSPAN_HOST_DEVICE int Larger(int a, int b) { return a < b ? b : a; }

LONGSPAN_HOST_DEVICE BandKeys KeysOf(const BandBlock& block, int window) {
  const int begin = Larger(block.text_begin, block.first_row - window);
  const int end = Smaller(block.text_end, block.first_row + kBandRows + window);
  return {begin, (end - begin + kBandTileKeys - 1) / kBandTileKeys};
}

// Whether a row of the group that begins at `group_row` sees a key of the tile that begins at
// `key`.
LONGSPAN_HOST_DEVICE bool SeesTile(int group_row, int key, int window, int text_end) {
  return group_row < text_end && key <= group_row + kBandGroupRows - 1 + window &&
         key + kBandTileKeys - 1 >= group_row - window;
}

// Whether every row of the group, also one beyond the text, sees every key of the tile.
LONGSPAN_HOST_DEVICE bool SeesWholeTile(int group_row, int key, int window, int text_end) {
  return key >= group_row + kBandGroupRows - 1 - window &&
         key + kBandTileKeys - 1 <= group_row + window && key + kBandTileKeys <= text_end;
}

// The keys of a tile that `row` sees, as columns of the tile: first..last, maybe none, maybe beyond
// the tile on either side.
struct TileColumns {
  int first;
  int last;
};
LONGSPAN_HOST_DEVICE TileColumns SeenColumns(int row, int key, int window, int text_end) {
  return {row - window - key, Smaller(row + window, text_end - 1) - key};
}

// Whether `row` sees the global token in row `global` beside its window. Those inside the window
// are among the window's keys.
LONGSPAN_HOST_DEVICE bool IsBeyondWindow(int row, int global, int window) {
  const int distance = row < global ? global - row : row - global;
  return distance > window;
}

// Whether no row of the block sees any of the globals lowest..highest beside its window, so that
// the block need not read them.
LONGSPAN_HOST_DEVICE bool WindowsHoldGlobals(const BandBlock& block, int lowest, int highest,
                                             int window) {
  const int last_row = Smaller(block.first_row + kBandRows, block.text_end) - 1;
  return last_row - lowest <= window && highest - block.first_row <= window;
}

// Where 16 bytes of a tile lie, in bytes: part `chunk` (16 bytes each) of row `row`, whose rows are
// `row_bytes` wide (64 or 128). It is the layout that the tensor memory accelerator writes and
// wgmma reads as "64-byte" and "128-byte swizzle": within 8 rows the chunks trade places, so that
// equal columns of different rows lie in different banks.
LONGSPAN_HOST_DEVICE int SwizzledOffset(int row, int chunk, int row_bytes) {
  const int turn = row_bytes == 128 ? row & 7 : (row >> 1) & 3;
  return row * row_bytes + (chunk ^ turn) * 16;
}

}  // namespace longspan::cuda
