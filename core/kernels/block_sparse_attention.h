// BigBird's block-sparse attention at inference, over packed texts whose lengths are whole blocks.
// The rows of the first and of the last block of a text see every key of it. The rows of a block i
// between them see the keys of the blocks {0, i-1, i, i+1, last}, as a set, and the keys of block 0
// count 1 + r times, where r is random_blocks.
//   Example with 6 blocks and r = 3, the blocks that are counted:
//     row in block 1: 0 0 0 0 1 2 5
//     row in block 3: 0 0 0 0 2 3 4 5
//     row in block 5: 0 1 2 3 4 5
// The published code switches its random blocks off by pointing all r of them at block 0. To count
// a key 1 + r times is to add ln(1 + r) to its score.
//
// Padding keys are left out. The published code adds -10000 to their scores instead. In float32
// that is the same to the last bit, because a row that is read always sees itself. Rows of padding
// are zeros, as in the published code.
//   Cost O(T·H·block_size·D), plus two blocks of rows that see the whole text. Scratch is that of
//   row_attention.h, which does the work.
// Source: BigBird, arXiv 2007.14062, sec. 2, without random blocks. Proven by
// block_sparse_attention_test and by bigbird's golden vectors.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/row_attention.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan::kernels {

struct BlockSparseAttentionParams {
  // q, k, v, out, strides, lse, head counts, scale, num_texts, cu_seqlens and key_mask (0 =
  // padding) as SlidingWindowAttention takes them; windows and globals are not read. The length of
  // each text is a multiple of block_size and at least two blocks.
  SlidingWindowAttentionParams tensors;
  int32_t block_size = 64;    // tokens
  int32_t random_blocks = 0;  // r of the published config
};

void BlockSparseAttention(const BlockSparseAttentionParams& params);

struct BlockSparseTasks {
  // Of each text: the positions of its first and of its last block.
  std::vector<std::vector<int32_t>> edges;
  // Their columns point into `edges`.
  std::vector<RowTask> tasks;
};

// The tasks that BlockSparseAttention runs.
BlockSparseTasks MakeBlockSparseTasks(const BlockSparseAttentionParams& params);

}  // namespace longspan::kernels
