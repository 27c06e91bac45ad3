// Attention of rows to the global tokens beyond their windows, merged into what a kernel for the
// window gave. It serves cards that BandAttention (kernels.h) does not run on, behind an attention
// that knows windows only. Any number of global tokens a text; each costs a row 4 x head_size
// multiply-adds a head. Compute capability 8.0 and later.
//
//   window 2, globals 0 and 7:   row 4 has seen 2 ... 6;  it gets 0 and 7
//                                row 6 has seen 4 ... 8;  it gets 0
//
// Letters in shapes: T rows of B packed texts, H heads, D head size, G global tokens. Strides are
// counted in elements. Proven by global_columns_emulation_test.
#pragma once

#include <cstdint>

#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/runtime_api.h"

namespace longspan::cuda {

struct GlobalColumnsParams {
  // In and out: the attention to other keys than these. A row that has seen none holds zeros, and
  // an infinity of either sign as its lse.
  void* out = nullptr;      // [T, H, D]
  float* lse = nullptr;     // [H, T], log of the sum of exponentials (natural)
  const void* q = nullptr;  // head h of row t at q + t * q_stride + h * D
  const void* k = nullptr;
  const void* v = nullptr;
  int64_t q_stride = 0;  // multiples of 8
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  const int32_t* cu_seqlens = nullptr;  // [B+1], borders of texts
  const int32_t* globals = nullptr;     // [G], rows of global tokens, ascending
  const int32_t* cu_globals = nullptr;  // [B+1], borders of texts in `globals`
  // [T], 0 = not read: nobody sees the row, and its own results stay as they are. Null = all are.
  const uint8_t* read = nullptr;
  int32_t num_texts = 0;                 // B
  int32_t num_rows = 0;                  // T
  int32_t num_heads = 0;                 // H
  int32_t head_size = 0;                 // D, a multiple of 8, at most 256
  int64_t window = 0;                    // rows on either side that have been seen, read or not
  float scale = 1;                       // of the scores
  Storage storage = Storage::kBfloat16;  // of q, k, v and out
};
// Returns cudaErrorInvalidValue for sizes, strides and alignments that it does not take.
cudaError_t GlobalColumns(const GlobalColumnsParams& params, cudaStream_t stream);

}  // namespace longspan::cuda
