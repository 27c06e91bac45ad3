// The implementations behind SlidingWindowAttention, named so that tests can run each of them.
#pragma once

#include "core/kernels/sliding_window_attention.h"

namespace longspan::kernels {

void SlidingWindowAttentionPortable(const SlidingWindowAttentionParams& params);

}  // namespace longspan::kernels
