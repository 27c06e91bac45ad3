// The passes around an int8 GEMM: float rows -> u8 rows before it, accumulators -> float or u8 rows
// after it.
//
// Per token (row), symmetric about 128:   scale = max |x| / 127      q = round(x / scale) + 128, in 1..255
//   x = [0.5 -2 1]:   scale 0.01575, q = [160 1 192]
// oneDNN's GEMM multiplies q by s8 weights (its unsigned form is the fast one) and scales columns;
// what the 128 added is taken
// away here:  y = activation(scale_row * (acc - offset_column) + bias),   offset_n = 128 * w_scale_n * sum_k w_nk.
// (The GEMM of packed_gemm.h does that itself; DequantizeRows has no AVX2 form.) A row that holds
// NaN or Inf gets the scale NaN, so that it comes out as NaN and not as a plausible vector.
// Implementations are chosen once by cpuid: _avx512, _avx2 and _portable; rows are shared among the
// OpenMP team. Proven by quantize_rows_test and quantized_linear_test.
#pragma once

#include <cstdint>

#include "core/kernels/activation.h"
#include "core/kernels/element_type.h"

namespace longspan::kernels {

// A row that holds nothing larger is a row of zeros (q = 128), since 127 / max |x| overflows just
// below.
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

// One GEMM's result.
struct Accumulators {
  const float* acc =
      nullptr;  // [rows, width], columns already multiplied by their weight scale; null = absent
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

  // One of the two is written.
  void* out = nullptr;  // [rows, width] of out_type
  ElementType out_type = ElementType::kFloat32;
  uint8_t* q = nullptr;       // [rows, width] for the next GEMM, with its scales
  float* q_scales = nullptr;  // [rows]
};
void DequantizeRows(const DequantizeParams& params);

// Rows [begin, end) on the calling thread; scratch holds `width` floats. The _avx512 and _avx2 ones
// need a processor that has them.
void QuantizeRowsAvx512(const QuantizeParams& params, int64_t begin, int64_t end);
void QuantizeRowsAvx2(const QuantizeParams& params, int64_t begin, int64_t end);
void QuantizeRowsPortable(const QuantizeParams& params, int64_t begin, int64_t end);
void DequantizeRowsAvx512(const DequantizeParams& params, int64_t begin, int64_t end,
                          float* scratch);
void DequantizeRowsPortable(const DequantizeParams& params, int64_t begin, int64_t end,
                            float* scratch);

}  // namespace longspan::kernels
