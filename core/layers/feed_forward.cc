#include "core/layers/feed_forward.h"

#include <ATen/ops/empty.h>

#include "core/backend/backend.h"
#include "core/layers/quantized_linear.h"

namespace longspan {

FeedForward FeedForward::Gated(const at::Tensor& weight, const at::Tensor& bias,
                               Activation activation, Linear down, const Placement& placement) {
  if (placement.backend != nullptr) {
    FeedForward gated(Linear(weight, bias, placement), std::move(down));
    gated.activation_ = activation;
    gated.gated_by_ = placement.backend;
    return gated;
  }
  const int64_t width = weight.size(0) / 2;
  const auto half = [&](int64_t first, Activation of_half) {
    const at::Tensor half_bias = bias.defined() ? bias.narrow(0, first, width) : at::Tensor();
    return Linear(weight.narrow(0, first, width), half_bias, placement, of_half);
  };
  return FeedForward(half(0, activation), half(width, Activation::kNone), std::move(down));
}

at::Tensor FeedForward::operator()(const at::Tensor& x) const {
  if (takes_quantized()) return OfQuantized(QuantizeRows(x.contiguous()), x.scalar_type());
  return down_(Wide(x));  // [rows, E]
}

at::Tensor FeedForward::Wide(const at::Tensor& x) const {
  at::Tensor wide = up_(x);  // [rows, I]
  if (gated_by_ != nullptr) return gated_by_->GatedUnit(wide, activation_);
  if (gate_.defined()) wide.mul_(gate_(x));
  return wide;
}

// The wide rows go from one product to the next as u8.
at::Tensor FeedForward::OfQuantized(const QuantizedRows& x, at::ScalarType out_type) const {
  const QuantizedRows wide =
      QuantizedLinear::RunQuantized(*up_.quantized(), gate_.quantized(), x, up_.activation());
  at::Tensor out = at::empty({x.values.size(0), down_.out_features()}, out_type);
  down_.quantized()->Run(wide, down_.activation(), out);
  return out;
}

void FeedForward::AddPreNorm(at::Tensor& stream, const LayerNorm& norm) const {
  stream.add_(takes_quantized() ? OfQuantized(norm.NormQuantized(stream), stream.scalar_type())
                                : (*this)(norm(stream)));
}

at::Tensor FeedForward::PostNorm(const at::Tensor& x, const LayerNorm& norm) const {
  return norm.AddBiasNorm(down_.ProductAlone(Wide(x)), down_.bias(), x);
}

}  // namespace longspan
