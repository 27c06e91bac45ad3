// QuantizedLinear: the int8 form of a linear layer. Weights are s8 with one scale per output channel, activations u8 with one
// scale per token, made on the fly; sums are exact 32-bit integers. Thread safe after construction.
//   float rows --Quantize--> u8 rows --Accumulate--> accumulators --Dequantize*--> float rows, or u8 rows of the next layer
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/kernels/quantize.h"

namespace longspan {

// Rows of u8 with their scales.
struct QuantizedRows {
  at::Tensor values;  // [M, K] uint8, zero point 128
  at::Tensor scales;  // [M] float32
};

QuantizedRows QuantizeRows(const at::Tensor& x);  // [M, K] float32 or bfloat16, contiguous

// Weights of s8 with one scale per output channel: scale = max |w| / 127, value = round(w / scale); a channel of zeros has
// scale 1.
struct QuantizedWeight {
  at::Tensor values;  // [out, in] int8
  at::Tensor scales;  // [out] float32
};
QuantizedWeight QuantizeWeight(const at::Tensor& weight);  // [out, in]

// The same weights in -63..63, for processors without VNNI: their instruction (VPMADDUBSW) adds pairs of u8 x s8 products in 16
// bits and saturates; 2 x 255 x 63 = 32,130 fits. Made from the 127 levels, so that a quantized folder still gives what
// quantising at load gives.
QuantizedWeight NarrowWeight(const QuantizedWeight& weight);

class QuantizedLinear {
 public:
  // weight [out, in] float32; bias [out] float32 or undefined.
  QuantizedLinear(const at::Tensor& weight, const at::Tensor& bias);

  at::Tensor Accumulate(const QuantizedRows& x) const;  // [M, out] float32
  // activation(...) of Accumulate's result for rows of these scales -> out [M, out] float32 or bfloat16.
  void Dequantize(const at::Tensor& accumulators, const at::Tensor& scales, kernels::Activation activation,
                  at::Tensor& out) const;
  kernels::Accumulators View(const at::Tensor& accumulators) const;  // of Accumulate's result, for the kernels
  // activation(x W^T + b) into out [M, out] float32 or bfloat16, in blocks of rows that stay in the cache.
  void Run(const at::Tensor& x, kernels::Activation activation, at::Tensor& out) const;

 private:
  at::Tensor packed_;
  at::Tensor weight_scales_;       // [out]
  at::Tensor weight_zero_points_;  // [out], all 0
  at::Tensor offset_;              // [out] what the activations' zero point adds to a column
  at::Tensor bias_;                // [out] or undefined
};

// activation(main) x gate -> u8 rows of the next layer. gate may be undefined.
QuantizedRows DequantizeToQuantized(const QuantizedLinear& main, const QuantizedLinear* gate, const QuantizedRows& x,
                                    kernels::Activation activation);

}  // namespace longspan
