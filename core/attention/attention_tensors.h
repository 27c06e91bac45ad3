// AttentionTensors: checks what every attention over packed texts asks of its tensors, and gives
// them the form that the kernels take. An exception of LibTorch (c10::Error) says that the caller
// broke a promise; Encoder catches it.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan {

// q, k, v, out : [T, H, D] float32 or bfloat16 on the CPU, the heads of a token side by side, any
// token stride. Takes the borders of texts and the mask from `layout`; windows and globals are left
// to the caller. The result points into the tensors and into what `layout` views.
kernels::SlidingWindowAttentionParams AttentionTensors(const at::Tensor& q, const at::Tensor& k,
                                                       const at::Tensor& v, at::Tensor& out,
                                                       const PackedLayout& layout, double scale);

}  // namespace longspan
