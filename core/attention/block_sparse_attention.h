// BlockSparseAttention: BigBird's attention at inference. It checks shapes and calls the kernel, or
// the backend that the layout is on; core/kernels/block_sparse_attention.h describes the pattern
// and its cost. Thread safe. Proven by block_sparse_attention_test and relatives_golden_test.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"
#include "core/backend/backend.h"

namespace longspan {

// q, k, v : [T, H, D] float32 or bfloat16, the heads of a token side by side, any token stride.
// Each text of the layout is padded to whole blocks, at least two. layout.key_mask marks the
// padding; the layout's windows and globals are not read. Returns [T, H, D] of the same type; rows
// of padding are zeros. `int8_scores`: as in SlidingWindowAttentionParams. Throws c10::Error for
// other shapes.
at::Tensor BlockSparseAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const PackedLayout& layout, const BlockSparsePattern& pattern,
                                double scale, bool int8_scores = false);

}  // namespace longspan
