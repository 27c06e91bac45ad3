// What every attention over packed texts asks of its tensors, checked, in the form the kernels
// take. LibTorch exceptions (c10::Error) report a broken promise of the caller; they end in
// Encoder.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan {

// Tensors, strides, scale, seams and mask of `layout`; its windows and globals are left to the
// caller. `out` is [T, H, D].
kernels::SlidingWindowAttentionParams AttentionTensors(const at::Tensor& q, const at::Tensor& k,
                                                       const at::Tensor& v, at::Tensor& out,
                                                       const PackedLayout& layout, double scale);

}  // namespace longspan
