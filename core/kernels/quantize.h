// The passes around an int8 GEMM: float rows become u8 rows before it, and accumulators become
// float or u8 rows after it.
//
// Each token (row) has a scale of its own, symmetric about 128:
//   scale = max |x| / 127      q = round(x / scale) + 128, which lies in 1..255
//   example: x = [0.5 -2 1] has the scale 0.01575 and q = [160 1 192]
// The GEMM multiplies q by s8 weights (u8 by s8 is oneDNN's fast form) and scales its columns by
// the weights' scales. What the 128 added to a sum is taken away afterwards:
//   y = activation(scale_row * (acc - offset_column) + bias)
//   offset_n = 128 * w_scale_n * sum_k w_nk
// The GEMM of packed_gemm.h does all of this itself. Processors with AVX2 alone use that one, so
// DequantizeRows has no AVX2 form.
//
// A row that holds NaN or Inf gets the scale NaN, so that it comes out as NaN and not as a
// plausible vector. Rows are shared among the OpenMP team. Cost O(rows · width).
// Proven, one implementation at a time, by quantize_rows_test, and by quantized_linear_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/activation.h"
#include "core/kernels/element_type.h"
#include "core/kernels/implementation.h"

namespace longspan::kernels {

// A row whose magnitudes are all below this counts as a row of zeros (q = 128): 127 / max |x|
// overflows float32 below 3.7e-37.
constexpr float kLeastQuantized = 1e-36f;

struct QuantizeParams {
  const void* x = nullptr;  // [rows, width]
  ElementType x_type = ElementType::kFloat32;
  uint8_t* q = nullptr;     // [rows, width]
  float* scales = nullptr;  // [rows]
  int64_t rows = 0;
  int64_t width = 0;
};
void QuantizeRows(const QuantizeParams& params);

// The result of one GEMM.
struct Accumulators {
  // [rows, width], columns already multiplied by their weight scale. Null = absent.
  const float* acc = nullptr;
  const float* offset = nullptr;  // [width]
  const float* bias = nullptr;    // [width] or null
};

struct DequantizeParams {
  Accumulators main;
  Accumulators gate;              // absent, or multiplied in after the activation (GeGLU)
  const float* scales = nullptr;  // [rows] of the GEMM's input
  Activation activation = Activation::kNone;  // of main
  int64_t rows = 0;
  int64_t width = 0;

  // Either q, with q_scales, is written, or out where q is null.
  void* out = nullptr;  // [rows, width] of out_type
  ElementType out_type = ElementType::kFloat32;
  uint8_t* q = nullptr;       // [rows, width] for the next GEMM
  float* q_scales = nullptr;  // [rows]
};
void DequantizeRows(const DequantizeParams& params);

// The rows [begin, end) on the calling thread. `scratch` holds `width` floats.
void QuantizeRowsPortable(const QuantizeParams& params, int64_t begin, int64_t end);
void QuantizeRowsAvx2(const QuantizeParams& params, int64_t begin, int64_t end);
void QuantizeRowsAvx512(const QuantizeParams& params, int64_t begin, int64_t end);
void DequantizeRowsPortable(const DequantizeParams& params, int64_t begin, int64_t end,
                            float* scratch);
void DequantizeRowsAvx512(const DequantizeParams& params, int64_t begin, int64_t end,
                          float* scratch);

using QuantizeRowsFunction = void(const QuantizeParams& params, int64_t begin, int64_t end);
using DequantizeRowsFunction = void(const DequantizeParams& params, int64_t begin, int64_t end,
                                    float* scratch);
using QuantizeImplementation = Implementation<QuantizeRowsFunction>;
using DequantizeImplementation = Implementation<DequantizeRowsFunction>;
// The implementations that this processor runs, the preferred first. QuantizeRows, DequantizeRows
// and LayerNorm use the first.
std::vector<QuantizeImplementation> QuantizeImplementations();
std::vector<DequantizeImplementation> DequantizeImplementations();

}  // namespace longspan::kernels
