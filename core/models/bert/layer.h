// BertLayer: attention over the whole text, or a window of it, inside the post-norm layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/models/packed_pass.h"
#include "core/models/post_norm_layer.h"

namespace longspan {

class BertLayer {
 public:
  // window: one-sided, kernels::kUnlimitedWindow = the whole text.
  BertLayer(WeightMap& weights, int64_t index, const EncoderConfig& config, int64_t window,
            DataType dtype);

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
