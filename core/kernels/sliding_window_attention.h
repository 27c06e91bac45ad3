// Softmax attention over packed texts where query t sees keys t-w..t+w of its own text, plus every
// global key of its text. Each key counts once, also where a global key lies inside the window. A
// row with no visible key yields zeros, never NaN.
//   Cost O(T·H·(w + G)·D) multiply-adds; scratch about 1 MiB a thread, whatever the lengths: never an n x n mask.
//   The result of a text is bit-identical alone and in any batch, and for any number of threads.
// Implementations are chosen once by cpuid: _avx512 (float32, and bfloat16 with VDPBF16PS), _avx2
// and _portable.
// Source: Longformer, arXiv 2004.05150, sec. 3.1.  Proven by sliding_window_attention_test (against tests/reference).
#pragma once

#include <cstdint>

#include "core/kernels/element_type.h"

namespace longspan::kernels {

inline constexpr int64_t kUnlimitedWindow = INT64_MAX;

// All pointers stay valid during the call; nothing is written but out and lse.
struct SlidingWindowAttentionParams {
  ElementType type =
      ElementType::kFloat32;  // of q, k, v and out; scores and softmax are float32 in both
  const void* q =
      nullptr;  // [T, H, D]: head h of token t at q + t * q_stride + h * D (strides in elements)
  const void* k = nullptr;
  const void* v = nullptr;
  void* out = nullptr;  // [T, H, D], may not alias
  int64_t q_stride = 0;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int64_t out_stride = 0;
  float* lse =
      nullptr;  // null, or [T, H]: natural log of the sum of exponentials, -inf for an empty row
  int32_t num_heads = 0;
  int32_t head_size = 0;
  float scale = 1.0f;  // multiplies q·k; positive

  int32_t num_texts = 0;
  const int32_t* cu_seqlens = nullptr;  // [B+1]
  const int64_t* windows =
      nullptr;  // [B]: one-sided window of each text, in tokens; kUnlimitedWindow = all keys
  const int32_t* globals = nullptr;     // packed positions of global keys, ascending; null = none
  const int32_t* cu_globals = nullptr;  // [B+1]; null = none
  const uint8_t* key_mask =
      nullptr;  // null = all keys, or [T]: 0 = no query sees this key, and its own row is zeros
};

void SlidingWindowAttention(const SlidingWindowAttentionParams& params);

}  // namespace longspan::kernels
