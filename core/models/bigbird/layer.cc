#include "core/models/bigbird/layer.h"

#include <ATen/ops/cat.h>

#include <cmath>
#include <vector>

#include "core/attention/block_sparse_attention.h"
#include "core/attention/first_row_attention.h"
#include "core/attention/sliding_window_attention.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan {

BigBirdLayer::BigBirdLayer(WeightMap& weights, const BigBirdConfig& config, int64_t index,
                           const Placement& placement)
    : layer_(weights, PostNormLayer::BertNames(index), config, placement, config.use_bias),
      full_up_to_(config.full_up_to()),
      block_size_(config.block_size),
      random_blocks_(config.random_blocks),
      scale_(1.0 / std::sqrt(static_cast<double>(config.head_size()))) {}

at::Tensor BigBirdLayer::Attend(const at::Tensor& qkv, PackedPass& pass, int64_t begin, int64_t end,
                                bool sparse) const {
  const PackedLayout part = pass.Part(begin, end, kernels::kUnlimitedWindow);
  const at::Tensor rows =
      qkv.slice(0, pass.cu_seqlens()[begin], pass.cu_seqlens()[end]);  // [rows, 3, H, D]
  const at::Tensor q = rows.select(1, 0), k = rows.select(1, 1), v = rows.select(1, 2);
  if (!sparse) return SlidingWindowAttention(q, k, v, part, scale_, layer_.has_int8_scores());
  return BlockSparseAttention(q, k, v, part,
                              {.block_size = block_size_, .random_blocks = random_blocks_}, scale_,
                              layer_.has_int8_scores());
}

void BigBirdLayer::Forward(PackedPass& pass, at::Tensor& x) const {
  at::Tensor qkv = layer_.Qkv(x, &pass);
  if (!qkv.defined()) return;
  // Only texts above the limit are padded, so the padded length gives the same answer as the text's
  // own.
  auto is_sparse = [&](int64_t text) { return pass.length(text) > full_up_to_; };
  std::vector<at::Tensor> parts;  // one for each run of neighbouring texts of the same kind
  for (int64_t begin = 0, end = 0; begin < pass.num_texts(); begin = end) {
    for (end = begin + 1; end < pass.num_texts() && is_sparse(end) == is_sparse(begin);) ++end;
    parts.push_back(Attend(qkv, pass, begin, end, is_sparse(begin)));
  }
  qkv.reset();
  layer_.Finish(x, parts.size() == 1 ? parts.front() : at::cat(parts), &pass);
}

at::Tensor BigBirdLayer::ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const {
  const at::Tensor qkv = layer_.Qkv(x);
  const PackedLayout layout = pass.Layout(kernels::kUnlimitedWindow);
  const at::Tensor attended = FirstRowAttention(
      qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), layout.cu_seqlens, layout.key_mask,
      scale_, layer_.has_int8_scores(), layer_.placement().backend);
  at::Tensor first = pass.FirstRows(x);
  layer_.Finish(first, attended);
  return first;
}

}  // namespace longspan
