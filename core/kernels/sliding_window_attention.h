// Softmax attention over packed texts where query t sees keys t-w..t+w of its own text, plus every
// global key of its text. Each key counts once, also where a global key lies inside the window. A
// row with no visible key yields zeros, never NaN.
//   Cost O(T·H·(w + G)·D) multiply-adds for G global keys per text. Scratch is about 1 MiB per
//   thread, whatever the lengths: there is never an n x n mask.
// The result of a text is bit-identical alone and in any batch, and for any number of threads. The
// work is done by row_attention.h, which also chooses the instruction set.
// Source: Longformer, arXiv 2004.05150, sec. 3.1. Proven by sliding_window_attention_test (against
// tests/reference) and sliding_window_attention_memory_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/element_type.h"

namespace longspan::kernels {

struct RowTask;  // row_attention.h

inline constexpr int64_t kUnlimitedWindow = INT64_MAX;

// All pointers stay valid during the call. Nothing is written but out and lse.
struct SlidingWindowAttentionParams {
  // Of q, k, v and out. Scores and softmax are float32 in both types.
  ElementType type = ElementType::kFloat32;

  // [T, H, D] each: head h of token t lies at q + t * q_stride + h * D. Strides count elements.
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  void* out = nullptr;  // may not alias q, k or v
  int64_t q_stride = 0;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int64_t out_stride = 0;

  // [T, H], or null: the natural log of the sum of exponentials of a row, -inf for an empty row.
  float* lse = nullptr;
  int32_t num_heads = 0;  // H
  int32_t head_size = 0;  // D
  float scale = 1.0f;     // multiplies q·k; positive
  // Scores may be computed from q and k rounded to 8 bits, each row of a head under a scale of its
  // own. Where the processor has no fast instruction for that, they are computed as ever.
  bool int8_scores = false;

  int32_t num_texts = 0;                // B
  const int32_t* cu_seqlens = nullptr;  // [B+1] where each text begins, and the end of the last
  // [B] one-sided window of each text, in tokens; kUnlimitedWindow = all keys.
  const int64_t* windows = nullptr;
  // Packed positions of global keys, ascending; text b has those from cu_globals[b] to
  // cu_globals[b + 1]. Null = none.
  const int32_t* globals = nullptr;
  const int32_t* cu_globals = nullptr;  // [B+1]; null = none
  // [T]: 0 = no query sees this key, and its own row is zeros; kUnseen = no query sees it, and it
  // has a row like any (key_mask.h). Null = all keys are read.
  const uint8_t* key_mask = nullptr;
};

void SlidingWindowAttention(const SlidingWindowAttentionParams& params);

// The tasks that SlidingWindowAttention runs. Their columns point into params.globals.
std::vector<RowTask> SlidingWindowTasks(const SlidingWindowAttentionParams& params);

}  // namespace longspan::kernels
