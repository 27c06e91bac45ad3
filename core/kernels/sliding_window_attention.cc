#include "core/kernels/sliding_window_attention.h"

#include "core/kernels/sliding_window_attention_impl.h"

namespace longspan::kernels {

void SlidingWindowAttention(const SlidingWindowAttentionParams& params) { SlidingWindowAttentionPortable(params); }

}  // namespace longspan::kernels
