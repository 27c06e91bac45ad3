// LayerNorm over the last axis, with the residual addition in the same pass:
//   s = x + residual      out = (s - mean(s)) / sqrt(var(s) + eps) * weight + bias
// The variance is the biased one. Sums are float32 whatever the element types.
//
// x and residual are read once and out is written once. Where an int8 GEMM follows, rows are also
// quantised (quantize.h) while they are in the first-level cache, to the very bytes that
// QuantizeRows of `out` would give. Rows are shared among the OpenMP team.
//   Cost O(rows · width); scratch is one row of float32 per thread.
// Proven by layer_norm_test and, one implementation at a time, by layer_norm_rows_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/element_type.h"
#include "core/kernels/implementation.h"

namespace longspan::kernels {

// Rows are contiguous, `width` elements apart. out may alias x or residual.
struct LayerNormParams {
  const void* x = nullptr;         // [rows, width]
  const void* residual = nullptr;  // [rows, width] added to x, or null
  void* out = nullptr;             // [rows, width]
  uint8_t* q = nullptr;            // null, or [rows, width]: receives the rows of `out` as u8
  float* q_scales = nullptr;       // [rows]: receives the scale of each row of q
  const float* weight = nullptr;   // [width]
  const float* bias = nullptr;     // [width] or null
  ElementType x_type = ElementType::kFloat32;
  ElementType residual_type = ElementType::kFloat32;
  ElementType out_type = ElementType::kFloat32;
  int64_t rows = 0;
  int64_t width = 0;
  float eps = 1e-5f;
};

void LayerNorm(const LayerNormParams& params);

// The rows [begin, end) on the calling thread. q is not written. `scratch` holds `width` floats.
void LayerNormRowsPortable(const LayerNormParams& params, int64_t begin, int64_t end,
                           float* scratch);
void LayerNormRowsAvx2(const LayerNormParams& params, int64_t begin, int64_t end, float* scratch);
void LayerNormRowsAvx512(const LayerNormParams& params, int64_t begin, int64_t end, float* scratch);

using LayerNormRowsFunction = void(const LayerNormParams& params, int64_t begin, int64_t end,
                                   float* scratch);
using LayerNormImplementation = Implementation<LayerNormRowsFunction>;
// The implementations that this processor runs, the preferred first. LayerNorm uses the first.
std::vector<LayerNormImplementation> LayerNormImplementations();

}  // namespace longspan::kernels
