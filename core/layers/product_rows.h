// ProductRows: the number of rows that a product of oneDNN is computed for.
//
// oneDNN compiles code for each shape that it has not seen, which takes about a millisecond for
// each product of a layer. Texts of mixed lengths make batches of ever new numbers of rows, so the
// products of small batches are computed for the next of a few numbers. The rows beyond those that
// were asked for hold anything, and nobody reads what comes out for them. For large products the
// set-up is nothing, and their rows stay as they are.
//
//   rows    1  2  3 ... 5 ... 9 ... 17 ... 33 ... 600 ... 1024  1025
//   become  1  2  4     8    16     32     48     608     1024  1025
#pragma once

#include <bit>
#include <cstdint>

namespace longspan {

// The numbers of rows are multiples of this, and below it powers of two. It is the height of a tile
// of AMX; of 600 rows it wastes 1.3 % on average.
inline constexpr int64_t kProductRowMultiple = 16;
// Blocks of a layer have up to 512 rows (core/models/row_blocks.h).
inline constexpr int64_t kMostRoundedRows = 1024;

// At least `rows`, which is positive.
inline int64_t ProductRows(int64_t rows) {
  if (rows > kMostRoundedRows) return rows;
  if (rows < kProductRowMultiple)
    return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  return (rows + kProductRowMultiple - 1) / kProductRowMultiple * kProductRowMultiple;
}

}  // namespace longspan
