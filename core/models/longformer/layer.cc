#include "core/models/longformer/layer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "core/attention/first_row_attention.h"
#include "core/attention/sliding_window_attention.h"
#include "core/models/first_rows.h"

namespace longspan {

LongformerLayer::LongformerLayer(WeightMap& weights, const PostNormLayer::Names& names, const GlobalNames& global_names,
                                 const EncoderConfig& config, const Window& window, DataType dtype)
    : layer_(weights, names, config, dtype),
      num_heads_(config.num_heads),
      head_size_(config.hidden_size / config.num_heads),
      window_(window) {
  auto take = [&](const std::string& name, at::Tensor& weight, at::Tensor& bias) {
    weight = weights.Take(name + ".weight", {config.hidden_size, config.hidden_size});
    bias = weights.Take(name + ".bias", {config.hidden_size});
  };
  take(global_names.query, global_.query_weight, global_.query_bias);
  take(global_names.key, global_.key_weight, global_.key_bias);
  take(global_names.value, global_.value_weight, global_.value_bias);
}

double LongformerLayer::Scale() const { return 1.0 / std::sqrt(static_cast<double>(head_size_)); }

void LongformerLayer::Forward(PackedPass& pass, at::Tensor& x) const {
  const PackedLayout layout = pass.Layout(window_.one_sided, window_.dense_up_to);
  at::Tensor qkv = layer_.Qkv(x);  // [T, 3, H, D]
  at::Tensor attended = SlidingWindowAttention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), layout, Scale());
  qkv.reset();  // three quarters of the pass's memory; free it before the next big tensor
  if (pass.has_globals()) GlobalRowAttention(x, global_, num_heads_, layout, attended);
  layer_.Finish(x, attended);
}

at::Tensor LongformerLayer::ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const {
  PackedLayout layout = pass.Layout(window_.one_sided, window_.dense_up_to);
  const FirstRowKeys keys = KeysOfFirstRows(layout);
  at::Tensor attended = at::zeros({pass.num_texts(), num_heads_, head_size_}, x.options());
  if (!keys.rows.empty()) {
    const at::Tensor qkv = layer_.Qkv(x.index_select(0, at::tensor(keys.rows)));  // [keys, 3, H, D]
    attended = FirstRowAttention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), keys.cu_seqlens, keys.key_mask, Scale());
  }
  if (!keys.global_firsts.empty()) {
    layout.globals = keys.global_firsts;
    layout.cu_globals = keys.cu_global_firsts;
    at::Tensor all_rows = at::empty({x.size(0), num_heads_, head_size_}, x.options());  // only the global rows are touched
    GlobalRowAttention(x, global_, num_heads_, layout, all_rows);
    for (int64_t text = 0; text < pass.num_texts(); ++text) {
      const bool is_global = keys.cu_global_firsts[text] < keys.cu_global_firsts[text + 1];
      if (is_global) attended.select(0, text).copy_(all_rows.select(0, layout.cu_seqlens[text]));
    }
  }
  at::Tensor first = FirstRows(x, layout.cu_seqlens);
  layer_.Finish(first, attended);
  return first;
}

}  // namespace longspan
