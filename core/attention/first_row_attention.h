// FirstRowAttention: attention of the first token of each text alone, which is all that cls pooling
// reads of the last layer. The caller packs only the keys that the first token sees, its window and
// the globals (first_rows.h). Every key of a text therefore takes part. Cost O(keys·H·D). Thread
// safe. Proven by first_row_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace longspan {

class Backend;

// q, k, v    : [T, H, D] float32 or bfloat16; views of a packed [T, 3, H, D] are fine
// cu_seqlens : [B+1], a text may be empty
// key_mask   : [T], 0 = not read; empty = all are read
// int8_scores: as in SlidingWindowAttentionParams, so that first rows are what whole passes give.
// backend    : where the tensors are; null = the CPU
// Returns [B, H, D] of q's type. The row of a text is zeros where its first token is not read, or
// where the text is empty.
at::Tensor FirstRowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             std::span<const int32_t> cu_seqlens, std::span<const uint8_t> key_mask,
                             double scale, bool int8_scores = false,
                             const Backend* backend = nullptr);

}  // namespace longspan
