// ProductRows: the number of rows that a product of oneDNN is computed for.
//
// oneDNN sets up each shape that it has not seen, which takes about a millisecond for each product
// of a layer, and keeps half a MiB for it (core/runtime/runtime_environment.h). Texts of mixed
// lengths make batches of ever new numbers of rows, so products are computed for the next of a few
// numbers. The rows beyond those that were asked for hold anything, and nobody reads what comes out
// for them. A large product is two of them: its whole blocks of 1,024 rows, and the rest.
//
//   rows    1  2  3 ... 5 ... 9 ... 17 ... 33 ... 600 ... 1024  1025      2000
//   become  1  2  4     8    16     32     48     608     1024  1024 + 1  1024 + 976
#pragma once

#include <bit>
#include <cstdint>

namespace longspan {

// The numbers of rows are multiples of this, and below it powers of two. It is the height of a tile
// of AMX; of 600 rows it wastes 1.3 % on average.
inline constexpr int64_t kProductRowMultiple = 16;
// Blocks of a layer have up to 512 rows (core/models/row_blocks.h).
inline constexpr int64_t kMostRoundedRows = 1024;

// The rows of the first of the products that so many rows are computed in.
inline int64_t FirstProductRows(int64_t rows) {
  return rows > kMostRoundedRows ? rows / kMostRoundedRows * kMostRoundedRows : rows;
}

// At least `rows`, which is positive; those of a large product stay as they are.
inline int64_t ProductRows(int64_t rows) {
  if (rows > kMostRoundedRows) return rows;
  if (rows < kProductRowMultiple)
    return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  return (rows + kProductRowMultiple - 1) / kProductRowMultiple * kProductRowMultiple;
}

}  // namespace longspan
