// ForEachRowBlock: the row-wise part of a layer (linear layers, norms) in blocks of rows:
//
//   ForEachRowBlock(x.size(0), pass, [&](int64_t begin, int64_t end) {
//     at::Tensor rows = x.slice(0, begin, end);
//     ...
//   });
//
// A block is small enough that the wide rows of the feed-forward part ([rows, 4E]) stay in the
// cache, and large enough for matrix products at full speed. There are two ways to run the blocks:
//   - Rows enough for every thread of the compute team: each block runs whole on one thread. That
//     takes one barrier for all products and norms instead of one for each. A core that is slow for
//     a while, because a request is parsed on it, takes fewer blocks.
//   - Fewer rows: block after block, the whole team on each product.
// Example with 2 threads: 1,000 rows become 2 blocks of 512 and 488 rows, one for each thread; 700
// rows are fewer than 2 · 384, so they become 2 blocks of 512 and 188 rows, one after the other.
// Proven by row_blocks_test.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/models/packed_pass.h"
#include "core/runtime/parallel_blocks.h"

namespace longspan {

// Most rows of a block: [512, 4E] float32 are 6 MiB in a base model (E = 768).
inline constexpr int64_t kLayerBlockRows = PackedPass::kRowsPerPauseOfThread;
// With fewer rows for each thread, the products of single threads lose more than the barriers cost.
inline constexpr int64_t kFewestRowsPerThread = 384;

// Rows of each block but the last, where each of `threads` threads takes the same number of whole
// blocks. 0 = too few rows for that. The number is a multiple of 16, so that oneDNN, which sets up
// a product for each shape that it has not seen, sees few shapes.
inline int64_t RowsOfThreadBlock(int64_t rows, int64_t threads) {
  if (threads == 1 || rows < threads * kFewestRowsPerThread) return 0;
  const int64_t blocks =
      (rows + threads * kLayerBlockRows - 1) / (threads * kLayerBlockRows) * threads;
  return ((rows + blocks - 1) / blocks + 15) / 16 * 16;
}

// Calls block(begin, end) for all rows, in parallel where that pays. With a `pass` it pauses after
// each PackedPass::RowsPerPause rows (PackedPass::Continue). If the pass is to stop there, the
// rows behind are left undone. `pass` may be null.
template <typename Block>
void ForEachRowBlock(int64_t rows, const PackedPass* pass, const Block& block) {
  const int64_t rows_at_once = pass == nullptr ? rows : PackedPass::RowsPerPause();
  for (int64_t first = 0; first < rows; first += rows_at_once) {
    if (pass != nullptr && first > 0 && !pass->Continue()) return;
    const int64_t last = std::min(first + rows_at_once, rows);
    if (const int64_t size = RowsOfThreadBlock(last - first, at::get_num_threads()); size > 0) {
      ParallelBlocks((last - first + size - 1) / size, [&](int64_t i) {
        block(first + i * size, std::min(first + (i + 1) * size, last));
      });
    } else {
      for (int64_t begin = first; begin < last; begin += kLayerBlockRows)
        block(begin, std::min(begin + kLayerBlockRows, last));
    }
  }
}

}  // namespace longspan
