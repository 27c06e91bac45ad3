#include "core/layers/feed_forward.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/layers/quantized_linear.h"

namespace longspan {
namespace {

// 512 rows x 3072 floats are 6 MiB: the wide rows of a block stay in the last-level cache between the two GEMMs, and 512 rows
// are enough for a GEMM at full speed. One block size also means one cached oneDNN primitive for all lengths but the last block.
constexpr int64_t kBlockTokens = 512;

// Calls block(first, rows) until all rows are done.
template <typename BlockFn>
void ForEachBlock(int64_t num_tokens, BlockFn block) {
  for (int64_t first = 0; first < num_tokens; first += kBlockTokens) block(first, std::min(kBlockTokens, num_tokens - first));
}

}  // namespace

at::Tensor FeedForward::Block(const at::Tensor& x) const {
  if (takes_quantized()) return OfQuantized(QuantizeRows(x.contiguous()), x.scalar_type());
  at::Tensor wide = up_(x);  // [rows, I]
  if (gate_.defined()) wide.mul_(gate_(x));
  return down_(wide);  // [rows, E]
}

// int8: the wide rows go from one GEMM to the next as u8 and never become floats in memory.
at::Tensor FeedForward::OfQuantized(const QuantizedRows& x, at::ScalarType out_type) const {
  const QuantizedRows wide = DequantizeToQuantized(*up_.quantized(), gate_.quantized(), x, up_.activation());
  const at::Tensor accumulators = down_.quantized()->Accumulate(wide);
  at::Tensor out = at::empty(accumulators.sizes(), out_type);
  down_.quantized()->Dequantize(accumulators, wide.scales, down_.activation(), out);
  return out;
}

at::Tensor FeedForward::operator()(const at::Tensor& x) const {
  if (x.size(0) <= kBlockTokens) return Block(x);
  at::Tensor out = at::empty({x.size(0), down_.out_features()}, x.options());
  ForEachBlock(x.size(0),
               [&](int64_t first, int64_t rows) { out.narrow(0, first, rows).copy_(Block(x.narrow(0, first, rows))); });
  return out;
}

at::Tensor FeedForward::PostNorm(const at::Tensor& x, const LayerNorm& norm) const {
  at::Tensor out = at::empty(x.sizes(), x.options());
  ForEachBlock(x.size(0), [&](int64_t first, int64_t rows) {
    const at::Tensor input = x.narrow(0, first, rows);
    at::Tensor output = out.narrow(0, first, rows);
    norm.Run(Block(input), input, /*update_residual=*/false, output);
  });
  return out;
}

void FeedForward::AddPreNorm(at::Tensor& stream, const LayerNorm& norm) const {
  ForEachBlock(stream.size(0), [&](int64_t first, int64_t rows) {
    at::Tensor input = stream.narrow(0, first, rows);
    input.add_(takes_quantized() ? OfQuantized(norm.NormQuantized(input), input.scalar_type()) : Block(norm(input)));
  });
}

}  // namespace longspan
