#include "core/models/modernbert/layer.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/attention/first_row_attention.h"
#include "core/attention/first_rows.h"
#include "core/attention/sliding_window_attention.h"
#include "core/kernels/sliding_window_attention.h"
#include "core/layers/quantized_linear.h"
#include "core/models/row_blocks.h"
#include "core/models/take_layers.h"

namespace longspan {
namespace {

// Wi [2I, E] holds both halves of the gated unit: rows [0, I) feed the activation, rows [I, 2I) are
// the gate.
FeedForward TakeGated(WeightMap& weights, const std::string& prefix, const ModernBertConfig& config,
                      const Placement& placement) {
  const int64_t width = config.intermediate_size;
  const at::Tensor both =
      TakeMatrix(weights, prefix + "mlp.Wi.weight", {2 * width, config.hidden_size}, placement);
  const at::Tensor bias =
      config.mlp_bias ? weights.Take(prefix + "mlp.Wi.bias", {2 * width}) : at::Tensor();
  Linear down = TakeLinear(weights, prefix + "mlp.Wo", config.hidden_size, width, placement,
                           Activation::kNone, config.mlp_bias);
  if (!both.defined() || (config.mlp_bias && !bias.defined())) return {};
  return FeedForward::Gated(both, bias, config.activation, std::move(down), placement);
}

LayerNorm TakeAttentionNorm(WeightMap& weights, const std::string& prefix,
                            const ModernBertConfig& config, int64_t index,
                            const Placement& placement) {
  if (index == 0) return {};
  return TakeLayerNorm(weights, prefix + "attn_norm", config.hidden_size, config.layer_norm_eps,
                       placement, config.norm_bias);
}

// product(norm(rows)). In int8 the norm's result is made as u8, a block of rows at a time, and no
// other form of it is kept.
at::Tensor NormedProduct(const LayerNorm& norm, const Linear& product, const at::Tensor& rows) {
  if (product.quantized() == nullptr) return product(norm(rows));
  at::Tensor out = at::empty({rows.size(0), product.out_features()}, rows.options());
  for (int64_t begin = 0; begin < rows.size(0); begin += kLayerBlockRows) {
    const int64_t end = std::min(begin + kLayerBlockRows, rows.size(0));
    at::Tensor block = out.slice(0, begin, end);
    product.quantized()->Run(norm.NormQuantized(rows.slice(0, begin, end)), product.activation(),
                             block);
  }
  return out;
}

std::string Prefix(int64_t index) { return absl::StrCat("layers.", index, "."); }

}  // namespace

ModernBertLayer::ModernBertLayer(WeightMap& weights, const ModernBertConfig& config, int64_t index,
                                 const RotaryEmbedding& rope, const Placement& placement)
    : num_heads_(config.num_heads),
      head_size_(config.head_size()),
      window_(config.sliding[index] ? config.window : kernels::kUnlimitedWindow),
      scale_(1.0 / std::sqrt(static_cast<double>(head_size_))),
      placement_(placement),
      has_int8_scores_(placement.has_int8_scores()),
      rope_(rope),
      attention_norm_(TakeAttentionNorm(weights, Prefix(index), config, index, placement)),
      qkv_(TakeLinear(weights, Prefix(index) + "attn.Wqkv", 3 * config.hidden_size,
                      config.hidden_size, placement, Activation::kNone, config.attention_bias)),
      attention_output_(TakeLinear(weights, Prefix(index) + "attn.Wo", config.hidden_size,
                                   config.hidden_size, placement, Activation::kNone,
                                   config.attention_bias)),
      mlp_norm_(TakeLayerNorm(weights, Prefix(index) + "mlp_norm", config.hidden_size,
                              config.layer_norm_eps, placement, config.norm_bias)),
      mlp_(TakeGated(weights, Prefix(index), config, placement)) {}

at::Tensor ModernBertLayer::RotatedQkv(const at::Tensor& rows, std::span<const int32_t> cu_seqlens,
                                       const DeviceLayout* layout) const {
  at::Tensor qkv = attention_norm_.defined() ? NormedProduct(attention_norm_, qkv_, rows)
                                             : qkv_(rows);  // [rows, 3E]
  qkv = qkv.view({rows.size(0), 3, num_heads_, head_size_});
  rope_.Apply(qkv, cu_seqlens, layout);
  return qkv;
}

void ModernBertLayer::Finish(at::Tensor& x, const at::Tensor& attended,
                             const PackedPass* pass) const {
  const at::Tensor merged = attended.view(x.sizes());  // heads side by side
  if (placement_.takes_all_rows()) {
    x.add_(attention_output_(merged));
    mlp_.AddPreNorm(x, mlp_norm_);
    return;
  }
  ForEachRowBlock(x.size(0), pass, [&](int64_t begin, int64_t end) {
    at::Tensor rows = x.slice(0, begin, end);
    rows.add_(attention_output_(merged.slice(0, begin, end)));
    mlp_.AddPreNorm(rows, mlp_norm_);
  });
}

void ModernBertLayer::Forward(PackedPass& pass, at::Tensor& x) const {
  const PackedLayout layout = pass.Layout(window_);
  at::Tensor qkv = RotatedQkv(x, layout.cu_seqlens, layout.device);
  const at::Tensor attended = SlidingWindowAttention(
      qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), layout, scale_, has_int8_scores_);
  qkv.reset();
  Finish(x, attended, &pass);
}

at::Tensor ModernBertLayer::ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const {
  // There are no globals, so these are the rows of each text from its first on, as rope needs them.
  const FirstRowKeys keys = KeysOfFirstRows(pass.Layout(window_));
  const at::Tensor qkv = RotatedQkv(x.index_select(0, placement_.Rows(keys.rows)), keys.cu_seqlens);
  const at::Tensor attended =
      FirstRowAttention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), keys.cu_seqlens,
                        keys.key_mask, scale_, has_int8_scores_, placement_.backend);
  at::Tensor first = pass.FirstRows(x);
  Finish(first, attended);
  return first;
}

}  // namespace longspan
