// FeedForward: the wide half of a transformer layer. There are two forms; the activation is part of
// `up`:
//   dense:  down(act(up(x)))
//   gated:  down(act(up(x)) * gate(x))     GeGLU and its relatives; ModernBERT has it
// It takes all its rows at once. Callers cut long inputs into blocks (core/models/row_blocks.h), so
// that the wide rows [rows, I] stay in the cache. On a backend (placement.h) nobody cuts, and up
// and gate are one product.
// Sources: arXiv 1706.03762, sec. 3.3 (dense); Shazeer, arXiv 2002.05202 (gated). Thread safe after
// construction. Proven by feed_forward_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"

namespace longspan {

class FeedForward {
 public:
  FeedForward() = default;
  // up and gate: [E] -> [I], down: [I] -> [E]; all of one dtype.
  FeedForward(Linear up, Linear down) : up_(std::move(up)), down_(std::move(down)) {}
  FeedForward(Linear up, Linear gate, Linear down)
      : up_(std::move(up)), gate_(std::move(gate)), down_(std::move(down)) {}
  // The gated form from one weight [2I, E] and its bias [2I], or undefined: the rows of up, which
  // has the activation, and behind them those of gate.
  static FeedForward Gated(const at::Tensor& weight, const at::Tensor& bias, Activation activation,
                           Linear down, const Placement& placement);

  // x [T, E] -> [T, E] of x's type.
  at::Tensor operator()(const at::Tensor& x) const;
  // True for the int8 form. It can take rows that a LayerNorm has quantised already.
  bool takes_quantized() const { return up_.quantized() != nullptr; }
  at::Tensor OfQuantized(const QuantizedRows& x, at::ScalarType out_type) const;
  // stream += FeedForward(norm(stream)): the second half of a pre-norm layer (ModernBERT).
  void AddPreNorm(at::Tensor& stream, const LayerNorm& norm) const;
  // On a backend: norm(x + FeedForward(x)), the second half of a post-norm layer (BERT).
  at::Tensor PostNorm(const at::Tensor& x, const LayerNorm& norm) const;

 private:
  at::Tensor Wide(const at::Tensor& x) const;  // what goes into `down`: [rows, I]

  Linear up_;    // with gated_by_ also the gate, and without the activation
  Linear gate_;  // undefined in the dense form
  Linear down_;
  Activation activation_ = Activation::kNone;  // of gated_by_
  const Backend* gated_by_ = nullptr;          // makes the gated form; null = `gate_` does, or none
};

}  // namespace longspan
