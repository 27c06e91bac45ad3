// LayerNorm over the last axis, with the residual addition in the same pass:  s = x + residual;  out = (s - mean) / std * weight
// + bias. Biased variance, eps inside the square root, sums in float32 whatever the element types.
// One read of x and residual, one write; for an int8 GEMM behind it rows are quantised (quantize.h)
// while they are in the first-level cache, to the very bytes that QuantizeRows of `out` gives.
// Implementations are chosen once by cpuid: _avx512, _avx2 and _portable; rows are shared among the
// OpenMP team. Proven by layer_norm_test and layer_norm_rows_test.
#pragma once

#include <cstdint>

#include "core/kernels/element_type.h"

namespace longspan::kernels {

// Rows are contiguous, `width` elements apart. out may alias x or residual; sum may alias residual
// or x.
struct LayerNormParams {
  const void* x = nullptr;         // [rows, width]
  const void* residual = nullptr;  // [rows, width] added to x, or null
  void* out = nullptr;             // [rows, width]
  void* sum =
      nullptr;  // null, or [rows, width] of residual_type: receives x + residual (pre-norm models)
  uint8_t* q = nullptr;           // null, or [rows, width]: receives `out` as u8 ...
  float* q_scales = nullptr;      // [rows] ... with a scale for each row
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [width] or null
  ElementType x_type = ElementType::kFloat32;
  ElementType residual_type = ElementType::kFloat32;
  ElementType out_type = ElementType::kFloat32;
  int64_t rows = 0;
  int64_t width = 0;
  float eps = 1e-5f;
};

void LayerNorm(const LayerNormParams& params);

// Rows [begin, end) on the calling thread, without q; scratch holds `width` floats. The first two
// need a processor that has them.
void LayerNormRowsAvx512(const LayerNormParams& params, int64_t begin, int64_t end, float* scratch);
void LayerNormRowsAvx2(const LayerNormParams& params, int64_t begin, int64_t end, float* scratch);
void LayerNormRowsPortable(const LayerNormParams& params, int64_t begin, int64_t end,
                           float* scratch);

}  // namespace longspan::kernels
