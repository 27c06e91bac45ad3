// BlockSparseAttention: BigBird's attention at inference. It checks shapes and calls the kernel;
// core/kernels/block_sparse_attention.h describes the pattern and its cost. Thread safe. Proven by
// block_sparse_attention_test and relatives_golden_test.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"

namespace longspan {

struct BlockSparsePattern {
  int64_t block_size = 64;
  // r of the published config: the keys of block 0 count 1 + r times for all blocks but the first
  // and the last.
  int64_t random_blocks = 0;
};

// q, k, v : [T, H, D] float32 or bfloat16, the heads of a token side by side, any token stride.
// Each text of the layout is padded to whole blocks, at least two. layout.key_mask marks the
// padding; the layout's windows and globals are not read. Returns [T, H, D] of the same type; rows
// of padding are zeros. `int8_scores`: as in SlidingWindowAttentionParams. Throws c10::Error for
// other shapes.
at::Tensor BlockSparseAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const PackedLayout& layout, const BlockSparsePattern& pattern,
                                double scale, bool int8_scores = false);

}  // namespace longspan
