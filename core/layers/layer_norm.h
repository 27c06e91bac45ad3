// LayerNorm over the last axis of [T, E], alone or fused with the addition before it. Thread safe
// after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/layers/quantized_linear.h"

namespace longspan {

class LayerNorm {
 public:
  LayerNorm() = default;
  // weight [E] float32; bias [E] float32 or undefined (ModernBERT).
  LayerNorm(const at::Tensor& weight, const at::Tensor& bias, double eps);

  // x [T, E] float32 or bfloat16 -> the same shape and type.
  at::Tensor operator()(const at::Tensor& x) const;
  // LN(x + residual) in one pass, of residual's type (post-norm models); with `quantized` also as
  // u8 rows, the same that QuantizeRows makes of the result.
  at::Tensor AddNorm(const at::Tensor& x, const at::Tensor& residual,
                     QuantizedRows* quantized = nullptr) const;
  // LN(x) as u8 rows alone (pre-norm models in int8).
  QuantizedRows NormQuantized(const at::Tensor& x) const;
  // stream += x; returns LN(stream), of x's type (pre-norm models).
  at::Tensor AddInPlaceNorm(const at::Tensor& x, at::Tensor& stream) const;

  // The building block of them: writes to `out` [T, E] (may be x or residual); residual may be
  // undefined.
  void Run(const at::Tensor& x, const at::Tensor& residual, bool update_residual, at::Tensor& out,
           QuantizedRows* quantized = nullptr) const;

  int64_t width() const { return weight_.defined() ? weight_.size(0) : 0; }
  bool defined() const { return weight_.defined(); }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  float eps_ = 1e-5f;
};

}  // namespace longspan
