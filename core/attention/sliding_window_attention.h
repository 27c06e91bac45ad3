// Band attention with global key columns: shape checks and device dispatch for
// kernels/sliding_window_attention.h.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"

namespace longspan {

// q, k, v : [T, H, D] float32 or bfloat16, last dimension contiguous, any token stride (views of a
// packed [T, 3, H, D] are fine). Returns [T, H, D] of the same type. `lse`, where not null, becomes
// [T, H] float32.
// The query rows of global tokens are computed like any other (window + globals); a model with
// separate global projections overwrites them by GlobalRowAttention.
at::Tensor SlidingWindowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const PackedLayout& layout, double scale,
                                  at::Tensor* lse = nullptr);

}  // namespace longspan
