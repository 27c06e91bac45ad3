// BlockSparseAttention by a chosen implementation, for tests.
#pragma once

#include "core/kernels/block_sparse_attention.h"
#include "core/kernels/sliding_window_attention_impl.h"

namespace longspan::kernels {

void BlockSparseAttention(const BlockSparseAttentionParams& params, AttentionImplementation implementation);

}  // namespace longspan::kernels
