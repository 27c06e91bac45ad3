// ForEachRowBlock: the row-wise part of a layer (linear layers, norms) in blocks of rows:
//
//   ForEachRowBlock(x.size(0), pass, [&](int64_t begin, int64_t end) { ... rows [begin, end) of x ... });
//
// Blocks are small enough that the wide rows of the feed-forward part ([rows, 4E]) stay in the
// cache, and large enough for matrix products at full speed. Where there are rows enough for every
// thread of the compute team, each block runs whole on one thread: one barrier for all products and
// norms instead of one for each, and a core that is slow for a while, because a request is parsed
// on it, takes fewer blocks. Fewer rows run block by block, the whole team on each product.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/models/packed_pass.h"
#include "core/runtime/parallel_blocks.h"

namespace longspan {

inline constexpr int64_t kRowsPerBlock = 512;
inline constexpr int64_t kFewestRowsPerThread =
    384;  // below, the products of single threads lose more than the barriers cost

// Rows of each block but the last one where `threads` threads take whole blocks, the same number
// each: a multiple of 16, so that few shapes are ever seen. 0: too few rows for that.
inline int64_t RowsOfThreadBlock(int64_t rows, int64_t threads) {
  if (threads == 1 || rows < threads * kFewestRowsPerThread) return 0;
  const int64_t blocks = (rows + threads * kRowsPerBlock - 1) / (threads * kRowsPerBlock) * threads;
  return ((rows + blocks - 1) / blocks + 15) / 16 * 16;
}

// block(begin, end) for all rows. With a `pass` it pauses after each kRowsPerPause rows; stopped
// there, it leaves the rest undone.
template <typename Block>
void ForEachRowBlock(int64_t rows, const PackedPass* pass, const Block& block) {
  const int64_t rows_at_once = pass == nullptr ? rows : PackedPass::kRowsPerPause;
  for (int64_t first = 0; first < rows; first += rows_at_once) {
    if (pass != nullptr && first > 0 && !pass->Continue()) return;
    const int64_t last = std::min(first + rows_at_once, rows);
    if (const int64_t size = RowsOfThreadBlock(last - first, at::get_num_threads()); size > 0) {
      ParallelBlocks((last - first + size - 1) / size, [&](int64_t i) {
        block(first + i * size, std::min(first + (i + 1) * size, last));
      });
    } else {
      for (int64_t begin = first; begin < last; begin += kRowsPerBlock)
        block(begin, std::min(begin + kRowsPerBlock, last));
    }
  }
}

}  // namespace longspan
