// GlobalRowAttention: the rows of global tokens. A global token sees every key of its own text
// through query, key and value projections that only global tokens have. The products are
// reassociated, so that no token but the globals is projected; global_row_attention.cc says how.
// A layout on a backend leads to the backend's GlobalRows, which does the same.
// Cost O(G·H·T·E) multiply-adds for G globals, instead of O(T·E^2). Thread safe. Source:
// Longformer, arXiv 2004.05150, sec. 3.1. Proven by global_row_attention_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "core/attention/packed_layout.h"
#include "core/backend/backend.h"

namespace longspan {

// hidden : [T, E] the layer's input, float32 or bfloat16
// out    : [T, H, D]; the rows layout.globals are written, but for globals that the mask leaves out
//
// keep_going is called after each two GFLOP or so, so that a long pass can pause; once it answers
// false the rest is left undone. Empty = nobody listens. A backend does not pause.
void GlobalRowAttention(const at::Tensor& hidden, const GlobalProjections& projections,
                        int64_t num_heads, const PackedLayout& layout, at::Tensor& out,
                        const std::function<bool()>& keep_going = {});

}  // namespace longspan
