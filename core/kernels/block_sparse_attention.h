// BigBird's block-sparse attention at inference, over packed texts whose lengths are whole blocks:
//   the first and the last block of a text see every key of it; the block i between them sees the blocks {0, i-1, i, i+1, last},
//   as a set, and the keys of block 0 count 1 + random_blocks times (the published code switches its random blocks off by
//   pointing all of them at block 0: ln(1 + r) added to those scores).
//   Example, 6 blocks, r = 3: block 1 counts 0 0 0 0 1 2 5;  block 3 counts 0 0 0 0 2 3 4 5;  block 5 counts 0 1 2 3 4 5.
// Padding keys are left out. The published code adds -10000 to their scores instead: in float32 the
// same to the last bit, since a row that is read always sees itself. Rows of padding are zeros, as
// there.
//   Cost O(T·H·block_size·D) plus two blocks of rows that see all; scratch as SlidingWindowAttention, whose tiles do the work.
// Source: BigBird, arXiv 2007.14062, sec. 2, without random blocks.  Proven by block_sparse_attention_test and bigbird's golden
// vectors.
#pragma once

#include <cstdint>

#include "core/kernels/sliding_window_attention.h"

namespace longspan::kernels {

struct BlockSparseAttentionParams {
  // q, k, v, out, strides, lse, head counts, scale, num_texts, cu_seqlens and key_mask (0 =
  // padding) as there; windows and globals are not read. The length of each text is a multiple of
  // block_size and at least two blocks.
  SlidingWindowAttentionParams tensors;
  int32_t block_size = 64;
  int32_t random_blocks = 0;  // r of the published config
};

void BlockSparseAttention(const BlockSparseAttentionParams& params);

}  // namespace longspan::kernels
