// BigBirdLayer: block-sparse attention inside the post-norm layer; a short text sees all of itself.
// Source: BigBird, arXiv 2007.14062. The pattern stands in core/kernels/block_sparse_attention.h,
// deviations in README.md of this folder. Thread safe. Proven by relatives_golden_test,
// fixtures_test and first_row_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/models/bigbird/config.h"
#include "core/models/packed_pass.h"
#include "core/models/post_norm_layer.h"

namespace longspan {

class BigBirdLayer {
 public:
  // Missing weights are recorded in the map.
  BigBirdLayer(WeightMap& weights, const BigBirdConfig& config, int64_t index,
               const Placement& placement);

  // x [T, E] becomes the layer's output. Texts above the limit of full attention must be padded to
  // whole blocks (padded_texts.h).
  void Forward(PackedPass& pass, at::Tensor& x) const;
  // The output rows of the first token of each text alone, [B, E]. Every token is a key of theirs:
  // block 0 sees the whole text in both patterns.
  at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;

 private:
  // Attention of the texts [begin, end) of the pass, which are all sparse or all full: the rows of
  // these texts from qkv [T, 3, H, D] -> [rows, H, D].
  at::Tensor Attend(const at::Tensor& qkv, PackedPass& pass, int64_t begin, int64_t end,
                    bool sparse) const;

  PostNormLayer layer_;
  int64_t full_up_to_;  // the longest text that sees all of itself, in tokens
  int64_t block_size_;
  int64_t random_blocks_;  // r of the published config
  double scale_;
};

}  // namespace longspan
