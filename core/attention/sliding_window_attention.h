// SlidingWindowAttention: attention to the tokens of a window and to global keys. It checks shapes
// and calls the kernel, or the backend that the layout is on;
// core/kernels/sliding_window_attention.h describes the method and its cost. Thread safe. Proven by
// sliding_window_attention_test and longformer_golden_test.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"

namespace longspan {

// q, k, v : [T, H, D] float32 or bfloat16, the heads of a token side by side, any token stride.
// Views of a packed [T, 3, H, D] are fine. Returns [T, H, D] of the same type. `lse`, where not
// null, becomes the logsumexp of the scores, [T, H] float32 (on the CPU alone). `int8_scores`: see
// the kernel's parameters. Throws c10::Error for other shapes. The rows of global tokens are
// computed like any other, from their window and the global keys. A model with separate global
// projections overwrites them by GlobalRowAttention.
at::Tensor SlidingWindowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const PackedLayout& layout, double scale,
                                  bool int8_scores = false, at::Tensor* lse = nullptr);

}  // namespace longspan
