#include "core/models/bert/layer.h"

#include <cmath>

#include "core/attention/first_row_attention.h"
#include "core/attention/first_rows.h"
#include "core/attention/sliding_window_attention.h"

namespace longspan {

BertLayer::BertLayer(WeightMap& weights, int64_t index, const EncoderConfig& config, int64_t window,
                     const Placement& placement)
    : layer_(weights, PostNormLayer::BertNames(index), config, placement),
      window_(window),
      scale_(1.0 / std::sqrt(static_cast<double>(config.head_size()))) {}

void BertLayer::Forward(PackedPass& pass, at::Tensor& x) const {
  at::Tensor qkv = layer_.Qkv(x, &pass);  // [T, 3, H, D]
  if (!qkv.defined()) return;
  const at::Tensor attended =
      SlidingWindowAttention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2),
                             pass.Layout(window_), scale_, layer_.has_int8_scores());
  qkv.reset();
  layer_.Finish(x, attended, &pass);
}

at::Tensor BertLayer::ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const {
  const FirstRowKeys keys = KeysOfFirstRows(pass.Layout(window_));
  const at::Tensor qkv =
      layer_.Qkv(x.index_select(0, layer_.placement().Rows(keys.rows)));  // [keys, 3, H, D]
  const at::Tensor attended = FirstRowAttention(
      qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), keys.cu_seqlens, keys.key_mask, scale_,
      layer_.has_int8_scores(), layer_.placement().backend);
  at::Tensor first = pass.FirstRows(x);
  layer_.Finish(first, attended);
  return first;
}

}  // namespace longspan
