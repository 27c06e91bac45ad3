// Rotary position embedding, rotate-half form, in place: with a = x[0 .. D/2) and b = x[D/2 .. D)
// of one head at position p,
//   a' = a cos(p f) - b sin(p f)      b' = b cos(p f) + a sin(p f)      in float32 whatever the element type.
// Positions count from 0 at the first token of each text. Source: RoFormer, arXiv 2104.09864, sec. 3.4.  Proven by rope_test and
// rope_token_test.
#pragma once

#include <cstdint>

#include "core/kernels/element_type.h"

namespace longspan::kernels {

struct RopeParams {
  ElementType type = ElementType::kFloat32;
  void* x = nullptr;  // head h of token t at x + t * token_stride + h * head_size (in elements)
  int64_t token_stride = 0;
  int64_t num_heads =
      0;  // heads that lie side by side: 2H for the q and k of a packed [T, 3, H, D]
  int64_t head_size = 0;       // even
  const float* cos = nullptr;  // [positions, head_size / 2]
  const float* sin = nullptr;
  int32_t num_texts = 0;
  const int32_t* cu_seqlens = nullptr;  // [B+1]
};

void Rope(const RopeParams& params);

// One token at one position on the calling thread. The first two need a processor that has them.
void RopeTokenAvx512(const RopeParams& params, int64_t token, int64_t position);
void RopeTokenAvx2(const RopeParams& params, int64_t token, int64_t position);
void RopeTokenPortable(const RopeParams& params, int64_t token, int64_t position);

}  // namespace longspan::kernels
