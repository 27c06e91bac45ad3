// Rotary position embedding in its rotate-half form, in place. With a = x[0 .. D/2) and
// b = x[D/2 .. D) of one head at position p, and f the frequencies of the D/2 pairs:
//   a' = a cos(p f) - b sin(p f)      b' = b cos(p f) + a sin(p f)
// The arithmetic is float32 whatever the element type. Positions count from 0 at the first token of
// each text. Tokens are shared among the OpenMP team.
//   Cost O(T · heads · D); no scratch.
// Source: RoFormer, arXiv 2104.09864, sec. 3.4.2. Proven by rope_test and, one implementation at a
// time, by rope_token_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/element_type.h"
#include "core/kernels/implementation.h"

namespace longspan::kernels {

struct RopeParams {
  ElementType type = ElementType::kFloat32;
  void* x = nullptr;         // head h of token t at x + t * token_stride + h * head_size
  int64_t token_stride = 0;  // elements
  // Heads that lie side by side: 2H for the q and k of a packed [T, 3, H, D].
  int64_t num_heads = 0;
  int64_t head_size = 0;       // D, even
  const float* cos = nullptr;  // [positions, head_size / 2]
  const float* sin = nullptr;  // [positions, head_size / 2]
  int32_t num_texts = 0;
  const int32_t* cu_seqlens = nullptr;  // [B+1]
};

void Rope(const RopeParams& params);

// One token at one position of its text, on the calling thread.
void RopeTokenPortable(const RopeParams& params, int64_t token, int64_t position);
void RopeTokenAvx2(const RopeParams& params, int64_t token, int64_t position);
void RopeTokenAvx512(const RopeParams& params, int64_t token, int64_t position);

using RopeTokenFunction = void(const RopeParams& params, int64_t token, int64_t position);
using RopeImplementation = Implementation<RopeTokenFunction>;
// The implementations that this processor runs, the preferred first. Rope uses the first.
std::vector<RopeImplementation> RopeImplementations();

}  // namespace longspan::kernels
