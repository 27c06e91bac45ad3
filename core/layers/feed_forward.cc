#include "core/layers/feed_forward.h"

#include <ATen/ops/empty.h>

#include "core/layers/quantized_linear.h"

namespace longspan {

at::Tensor FeedForward::operator()(const at::Tensor& x) const {
  if (takes_quantized()) return OfQuantized(QuantizeRows(x.contiguous()), x.scalar_type());
  at::Tensor wide = up_(x);  // [rows, I]
  if (gate_.defined()) wide.mul_(gate_(x));
  return down_(wide);  // [rows, E]
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

}  // namespace longspan
