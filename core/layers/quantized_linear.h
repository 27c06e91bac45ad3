// QuantizedLinear: the int8 form of a linear layer. Weights are s8 (signed bytes) with one scale
// for each output channel. Activations are u8 (unsigned bytes, 128 means 0) with one scale for each
// token, found while the model runs. Sums of products are exact 32-bit integers.
//
//   float rows -- QuantizeRows --> u8 rows -- product, scales, bias, activation --> float rows, or
//   the u8 rows of the next layer
//
// Example: the row [0.5 -2 1] has the scale 2 / 127 and the bytes [160 1 192].
// Thread safe after construction. Proven by quantized_linear_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/kernels/quantize.h"

namespace longspan {

// Rows of u8 with their scales: x = (value - 128) · scale.
struct QuantizedRows {
  at::Tensor values;  // [M, K] uint8
  at::Tensor scales;  // [M] float32
};

// [rows, width] and [rows], uninitialised. Behind the values there is memory for the rows that
// oneDNN computes beyond them (core/layers/product_rows.h).
QuantizedRows EmptyQuantizedRows(int64_t rows, int64_t width);

// x [M, K] float32 or bfloat16, contiguous.
QuantizedRows QuantizeRows(const at::Tensor& x);

// A weight of s8 with one scale for each output channel: scale = max |w| / 127, value = round(w /
// scale). A channel of zeros has scale 1.
struct QuantizedWeight {
  at::Tensor values;  // [out, in] int8
  at::Tensor scales;  // [out] float32
};
// weight [out, in] float32 or bfloat16.
QuantizedWeight QuantizeWeight(const at::Tensor& weight);

// The same weight in -63 ... 63, for processors without VNNI. Their instruction (VPMADDUBSW) adds
// pairs of u8 x s8 products in 16 bits and saturates; 2 x 255 x 63 = 32,130 fits. It is made from
// the values in -127 ... 127, so that a folder of int8 weights gives the same as quantising at
// load.
QuantizedWeight NarrowWeight(const QuantizedWeight& weight);

class QuantizedLinear {
 public:
  // weight [out, in] float32; bias [out] float32 or undefined.
  QuantizedLinear(const at::Tensor& weight, const at::Tensor& bias);

  // Writes activation(x W^T + b) to out [M, out] float32 or bfloat16.
  void Run(const QuantizedRows& x, kernels::Activation activation, at::Tensor& out) const;
  // The same for float rows x [M, in], which it quantises block by block.
  void Run(const at::Tensor& x, kernels::Activation activation, at::Tensor& out) const;

  // activation(main(x)) * gate(x) as the u8 rows of the next layer. `gate` may be null.
  static QuantizedRows RunQuantized(const QuantizedLinear& main, const QuantizedLinear* gate,
                                    const QuantizedRows& x, kernels::Activation activation);

 private:
  // oneDNN's product: [M, out] float32, each column times the weight's scale.
  at::Tensor Accumulate(const QuantizedRows& x) const;
  kernels::Accumulators View(const at::Tensor& accumulators) const;
  // The whole layer through core/kernels/packed_gemm.h; out is float32 and contiguous.
  void RunPackedGemm(const QuantizedRows& x, kernels::Activation activation, at::Tensor& out) const;
  at::Tensor Packed(const QuantizedRows& x, kernels::Activation activation) const;

  int64_t in_features_ = 0;
  int64_t out_features_ = 0;
  bool uses_packed_gemm_ = false;
  at::Tensor packed_;              // oneDNN's layout, or that of PackInt8GemmWeight
  at::Tensor weight_scales_;       // [out]
  at::Tensor weight_zero_points_;  // [out], all 0; oneDNN asks for them
  // [out], what the 128 of the activations contributes to a column: for the packed GEMM its
  // negative as int32, else times the weight's scale as float32.
  at::Tensor offset_;
  at::Tensor bias_;  // [out], or undefined
};

}  // namespace longspan
