// FeedForward: the wide half of a transformer layer. All rows at once: callers cut long inputs into
// blocks (ForEachRowBlock), so that the wide rows never leave the cache.
//   dense:  down(act(up(x)))                     the activation is part of `up`
//   gated:  down(act(up(x)) * gate(x))           GeGLU and its kin (ModernBERT: Wi's first half is up, its second half gate)
// Thread safe after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"

namespace longspan {

class FeedForward {
 public:
  FeedForward() = default;
  FeedForward(Linear up, Linear down) : up_(std::move(up)), down_(std::move(down)) {}
  FeedForward(Linear up, Linear gate, Linear down)
      : up_(std::move(up)), gate_(std::move(gate)), down_(std::move(down)) {}

  // x [T, E] -> [T, E] of x's type.
  at::Tensor operator()(const at::Tensor& x) const;
  // int8 alone: of rows that a norm has quantised already.
  bool takes_quantized() const { return up_.quantized() != nullptr; }
  at::Tensor OfQuantized(const QuantizedRows& x, at::ScalarType out_type) const;
  // stream += FeedForward(norm(stream)): the second half of a pre-norm layer (ModernBERT).
  void AddPreNorm(at::Tensor& stream, const LayerNorm& norm) const;

 private:
  Linear up_;
  Linear gate_;  // undefined in the dense form
  Linear down_;
};

}  // namespace longspan
