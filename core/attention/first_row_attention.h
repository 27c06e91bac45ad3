// Attention of the first token of each text alone: all that cls pooling reads of the last layer.
// The caller packs only the keys that the first token sees (its window, globals), so every key of a
// text takes part; cost O(keys·H·D). Proven by first_row_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace longspan {

// q, k, v : [T, H, D] float32 or bfloat16, views of a packed [T, 3, H, D] are fine.  cu_seqlens : [B+1]; a text may be empty.
// key_mask : [T] 0 = not read, or empty.  Returns [B, H, D] of q's type; zeros where the first token is not read or absent.
at::Tensor FirstRowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             std::span<const int32_t> cu_seqlens, std::span<const uint8_t> key_mask,
                             double scale);

}  // namespace longspan
