// QuantizedLinear: the int8 form of a linear layer. Weights are s8 with one scale per output
// channel, activations u8 with one scale per token, made on the fly; sums are exact 32-bit
// integers. Thread safe after construction.
//   float rows --QuantizeRows--> u8 rows --product, scales, bias, activation--> float rows, or u8 rows of the next layer
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

// Weights of s8 with one scale per output channel: scale = max |w| / 127, value = round(w / scale);
// a channel of zeros has scale 1.
struct QuantizedWeight {
  at::Tensor values;  // [out, in] int8
  at::Tensor scales;  // [out] float32
};
QuantizedWeight QuantizeWeight(const at::Tensor& weight);  // [out, in]

// The same weights in -63..63, for processors without VNNI: their instruction (VPMADDUBSW) adds
// pairs of u8 x s8 products in 16 bits and saturates; 2 x 255 x 63 = 32,130 fits. Made from the 127
// levels, so that a quantized folder still gives what quantising at load gives.
QuantizedWeight NarrowWeight(const QuantizedWeight& weight);

class QuantizedLinear {
 public:
  // weight [out, in] float32; bias [out] float32 or undefined.
  QuantizedLinear(const at::Tensor& weight, const at::Tensor& bias);

  // activation(x W^T + b) into out [M, out] float32 or bfloat16.
  void Run(const QuantizedRows& x, kernels::Activation activation, at::Tensor& out) const;
  // Of float rows, in blocks that stay in the cache.
  void Run(const at::Tensor& x, kernels::Activation activation, at::Tensor& out) const;

  // activation(main) x gate -> u8 rows of the next layer. gate may be null.
  static QuantizedRows RunQuantized(const QuantizedLinear& main, const QuantizedLinear* gate,
                                    const QuantizedRows& x, kernels::Activation activation);

 private:
  at::Tensor Accumulate(
      const QuantizedRows& x) const;  // oneDNN's product: [M, out] float32, columns scaled
  kernels::Accumulators View(const at::Tensor& accumulators) const;
  void RunPackedGemm(const QuantizedRows& x, kernels::Activation activation,
                     at::Tensor& out) const;  // out float32
  at::Tensor Packed(const QuantizedRows& x, kernels::Activation activation) const;

  int64_t in_features_ = 0;
  int64_t out_features_ = 0;
  bool uses_packed_gemm_ = false;
  at::Tensor packed_;              // oneDNN's, or bytes of PackInt8GemmWeight
  at::Tensor weight_scales_;       // [out]
  at::Tensor weight_zero_points_;  // [out], all 0
  at::Tensor
      // [out] what the activations' zero point adds to a column; int32 for packed GEMM, else scaled
      offset_;
  at::Tensor bias_;  // [out] or undefined
};

}  // namespace longspan
