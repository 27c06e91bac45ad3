// BigBirdLayer: block-sparse attention, or the whole text where it is short, inside the post-norm
// layer. Thread safe. Proven by bigbird_golden_test and fixtures_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/models/bigbird/config.h"
#include "core/models/packed_pass.h"
#include "core/models/post_norm_layer.h"

namespace longspan {

class BigBirdLayer {
 public:
  BigBirdLayer(WeightMap& weights, const BigBirdConfig& config, int64_t index, DataType dtype);

  // x [T, E] becomes the layer's output; long texts are padded to whole blocks.
  void Forward(PackedPass& pass, at::Tensor& x) const;
  // The output rows of the first token of each text alone, [B, E]; block 0 sees every token, in
  // both patterns.
  at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;

 private:
  // Texts [begin, end) of the pass, all sparse or all full.
  at::Tensor Attend(const at::Tensor& qkv, const PackedLayout& layout, int64_t begin, int64_t end,
                    bool sparse) const;

  PostNormLayer layer_;
  int64_t full_up_to_;
  int64_t block_size_;
  int64_t random_blocks_;
  double scale_;
};

}  // namespace longspan
