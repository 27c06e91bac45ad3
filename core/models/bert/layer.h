// BertLayer: attention over the whole text, or over a window of it, inside the post-norm layer.
// Source: BERT, arXiv 1810.04805. Cost O(T^2) for a text of T tokens, or O(T·W) with a window of W.
// Thread safe. Proven by fixtures_test and first_row_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/models/packed_pass.h"
#include "core/models/post_norm_layer.h"

namespace longspan {

class BertLayer {
 public:
  // `window` is one-sided, in tokens; kernels::kUnlimitedWindow = the whole text. Missing weights
  // are recorded in the map.
  BertLayer(WeightMap& weights, int64_t index, const EncoderConfig& config, int64_t window,
            const Placement& placement);

  // x [T, E] becomes the layer's output.
  void Forward(PackedPass& pass, at::Tensor& x) const;
  // The output rows of the first token of each text alone, [B, E].
  at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;

 private:
  PostNormLayer layer_;
  int64_t window_;
  double scale_;
};

}  // namespace longspan
