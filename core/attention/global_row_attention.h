// The rows of global tokens: each sees every key of its own text through projections of its own.
// Reassociated, so that no token but the globals is projected:  s_gj = (W_kg^T q_g)·x_j + q_g·b_k   and
// o_g = W_vg (sum_j p_gj x_j) + b_v (the p sum to 1).  Cost O(G·H·n·E) multiply-adds instead of O(n·E^2); exact, other rounding.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/attention/packed_layout.h"

namespace longspan {

struct GlobalProjections {
  at::Tensor query_weight, query_bias;  // [E, E], [E]
  at::Tensor key_weight, key_bias;
  at::Tensor value_weight, value_bias;
};

// hidden : [T, E] the layer's input, float32 or bfloat16.  Writes the rows layout.globals of out [T, H, D].
void GlobalRowAttention(const at::Tensor& hidden, const GlobalProjections& projections,
                        int64_t num_heads, const PackedLayout& layout, at::Tensor& out);

}  // namespace longspan
