// BigBird's block-sparse attention at inference: shape checks and device dispatch for
// kernels/block_sparse_attention.h.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"

namespace longspan {

struct BlockSparsePattern {
  int64_t block_size = 64;
  int64_t random_blocks =
      // r of the published config: block 0 counts 1 + r times for all blocks but the first and the
      // last
      0;
};

// q, k, v : [T, H, D] float32 or bfloat16, last dimension contiguous, any token stride. Each text
// of the layout is padded to whole blocks, at least two; its padding is marked by layout.key_mask
// (windows and globals are not read). Returns [T, H, D] of the same type; rows of padding are
// zeros.
at::Tensor BlockSparseAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const PackedLayout& layout, const BlockSparsePattern& pattern,
                                double scale);

}  // namespace longspan
