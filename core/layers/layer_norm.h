// LayerNorm over the last axis of [T, E], alone or fused with the addition before it:
//   y = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias
// On a backend (placement.h) it is the backend's.
// Source: Ba, Kiros, Hinton, arXiv 1607.06450. Thread safe after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/backend/backend.h"
#include "core/layers/placement.h"
#include "core/layers/quantized_linear.h"

namespace longspan {

class LayerNorm {
 public:
  LayerNorm() = default;
  // weight [E] float32; bias [E] float32 or undefined (ModernBERT).
  LayerNorm(const at::Tensor& weight, const at::Tensor& bias, double eps,
            const Placement& placement = {});

  // x [T, E] of a type of rows -> the same shape and type.
  at::Tensor operator()(const at::Tensor& x) const;
  // LN(x + residual) in one pass, of residual's type (post-norm models). Where `quantized` is not
  // null, it gets the same rows as u8: the bytes and scales that QuantizeRows makes of the result.
  at::Tensor AddNorm(const at::Tensor& x, const at::Tensor& residual,
                     QuantizedRows* quantized = nullptr) const;
  // LN(x) as u8 rows alone (pre-norm models in int8).
  QuantizedRows NormQuantized(const at::Tensor& x) const;

  // On a backend: LN(values + bias + residual), where `values` is a product (Linear::ProductAlone)
  // and `bias` its own, or undefined.
  at::Tensor AddBiasNorm(const at::Tensor& values, const at::Tensor& bias,
                         const at::Tensor& residual) const;

  // On the CPU the functions above but AddBiasNorm are made of this one. Writes LN(x + residual) to
  // `out` [T, E], which may be residual itself. An undefined residual counts as zeros. All tensors
  // are contiguous; each may be float32 or bfloat16.
  void Run(const at::Tensor& x, const at::Tensor& residual, at::Tensor& out,
           QuantizedRows* quantized = nullptr) const;

  int64_t width() const { return defined() ? weights_.weight.size(0) : 0; }
  bool defined() const { return weights_.weight.defined(); }
  const NormWeights& weights() const { return weights_; }

 private:
  NormWeights weights_;
  const Backend* backend_ = nullptr;  // null = the kernels of the CPU
};

}  // namespace longspan
