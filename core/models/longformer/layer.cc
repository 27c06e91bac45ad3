#include "core/models/longformer/layer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/attention/first_row_attention.h"
#include "core/attention/first_rows.h"
#include "core/attention/sliding_window_attention.h"

namespace longspan {

LongformerLayer::LongformerLayer(WeightMap& weights, const PostNormLayer::Names& names,
                                 const GlobalNames& global_names, const EncoderConfig& config,
                                 const Window& window, const Placement& placement)
    : layer_(weights, names, config, placement),
      num_heads_(config.num_heads),
      head_size_(config.head_size()),
      window_(window) {
  auto take = [&](const std::string& name, at::Tensor& weight, at::Tensor& bias) {
    weight =
        placement.Keep(weights.Take(name + ".weight", {config.hidden_size, config.hidden_size}));
    bias = placement.Keep(weights.Take(name + ".bias", {config.hidden_size}));
  };
  take(global_names.query, global_.query_weight, global_.query_bias);
  take(global_names.key, global_.key_weight, global_.key_bias);
  take(global_names.value, global_.value_weight, global_.value_bias);
}

double LongformerLayer::Scale() const { return 1.0 / std::sqrt(static_cast<double>(head_size_)); }

// A long pass attends a few heads at a time, so that it can pause between them. One head of 32K
// tokens costs some 10 ms.
at::Tensor LongformerLayer::Attend(const at::Tensor& qkv, const PackedLayout& layout,
                                   const PackedPass& pass) const {
  // Rows of one head between two pauses. One such row costs a small part of a row of the layer, and
  // more where it sees more global keys than those of its window.
  constexpr int64_t kHeadRowsPerPause = 64 * 1024;
  const int64_t rows = qkv.size(0);
  const int64_t windows =
      1 + static_cast<int64_t>(layout.globals.size()) / (2 * window_.one_sided + 1);
  const int64_t heads_at_once = std::max<int64_t>(1, kHeadRowsPerPause / (rows * windows));
  const at::Tensor q = qkv.select(1, 0), k = qkv.select(1, 1), v = qkv.select(1, 2);
  const auto attend = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return SlidingWindowAttention(q, k, v, layout, Scale(), layer_.has_int8_scores());
  };
  if (heads_at_once >= num_heads_ || layer_.placement().takes_all_rows()) return attend(q, k, v);
  at::Tensor attended = at::empty({rows, num_heads_, head_size_}, qkv.options());
  for (int64_t begin = 0; begin < num_heads_; begin += heads_at_once) {
    if (begin > 0 && !pass.Continue()) return {};
    const int64_t end = std::min(begin + heads_at_once, num_heads_);
    auto heads = [&](const at::Tensor& x) { return x.slice(1, begin, end); };
    heads(attended).copy_(attend(heads(q), heads(k), heads(v)));
  }
  return attended;
}

void LongformerLayer::Forward(PackedPass& pass, at::Tensor& x) const {
  const PackedLayout layout = pass.Layout(window_.one_sided, window_.dense_up_to);
  at::Tensor qkv = layer_.Qkv(x, &pass);  // [T, 3, H, D]
  if (!qkv.defined()) return;
  at::Tensor attended = Attend(qkv, layout, pass);
  if (!attended.defined()) return;
  qkv.reset();  // the largest tensor of the layer, [T, 3E]; freed before the next large one
  if (pass.has_globals()) {
    bool goes_on = true;
    GlobalRowAttention(x, global_, num_heads_, layout, attended,
                       [&] { return goes_on = pass.Continue(); });
    if (!goes_on) return;
  }
  layer_.Finish(x, attended, &pass);
}

at::Tensor LongformerLayer::ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const {
  PackedLayout layout = pass.Layout(window_.one_sided, window_.dense_up_to);
  const FirstRowKeys keys = KeysOfFirstRows(layout);
  at::Tensor attended = at::zeros({pass.num_texts(), num_heads_, head_size_}, x.options());
  if (!keys.rows.empty()) {
    const at::Tensor qkv =
        layer_.Qkv(x.index_select(0, layer_.placement().Rows(keys.rows)));  // [keys, 3, H, D]
    attended = FirstRowAttention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2),
                                 keys.cu_seqlens, keys.key_mask, Scale(), layer_.has_int8_scores(),
                                 layer_.placement().backend);
  }
  if (!keys.global_firsts.empty()) {
    layout.globals = keys.global_firsts;
    layout.cu_globals = keys.cu_global_firsts;
    pass.Place(layout);
    // Only the rows of the globals are written and read. The memory of the others is not touched.
    at::Tensor all_rows = at::empty({x.size(0), num_heads_, head_size_}, x.options());
    GlobalRowAttention(x, global_, num_heads_, layout, all_rows);
    std::vector<int64_t> texts;  // whose first row is global
    for (int64_t text = 0; text < pass.num_texts(); ++text) {
      if (keys.cu_global_firsts[text] < keys.cu_global_firsts[text + 1]) texts.push_back(text);
    }
    const std::vector<int64_t> rows(keys.global_firsts.begin(), keys.global_firsts.end());
    attended.index_copy_(0, layer_.placement().Rows(texts),
                         all_rows.index_select(0, layer_.placement().Rows(rows)));
  }
  at::Tensor first = pass.FirstRows(x);
  layer_.Finish(first, attended);
  return first;
}

}  // namespace longspan
