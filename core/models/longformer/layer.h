// LongformerLayer: sliding-window attention with global tokens inside BERT's post-norm layer.
// Shared with LED's encoder, which names the weights otherwise.
//
// The three roles of a token (models: Longformer, arXiv 2004.05150, sec. 3.1 and 3.2), for w = 1
// and token 3 global:
//   query 0 sees keys 0 1 | 3          its window and the global key, by the local projections
//   query 2 sees keys 1 2 3            the global key lies in its window and counts once
//   query 3 sees keys 0 1 2 3 4 5 ...  all of its text, by projections of its own (*_global)
// Cost O(n·w + G·n) per layer. Proven by longformer_golden_test and fixtures_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/attention/global_row_attention.h"
#include "core/models/packed_pass.h"
#include "core/models/post_norm_layer.h"

namespace longspan {

class LongformerLayer {
 public:
  // Names of the projections of global tokens, without ".weight" and ".bias".
  struct GlobalNames {
    std::string query, key, value;
  };
  struct Window {
    int64_t one_sided = 0;    // tokens on each side
    int64_t dense_up_to = 0;  // texts up to so many tokens see all of themselves
  };
  LongformerLayer(WeightMap& weights, const PostNormLayer::Names& names,
                  const GlobalNames& global_names, const EncoderConfig& config,
                  const Window& window, DataType dtype);

  // x [T, E] becomes the layer's output.
  void Forward(PackedPass& pass, at::Tensor& x) const;
  // The output rows of the first token of each text alone, [B, E]; only the keys that these rows
  // see are projected.
  at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;

 private:
  double Scale() const;
  // qkv [T, 3, H, D] -> [T, H, D]; undefined = the pass is to stop.
  at::Tensor Attend(const at::Tensor& qkv, const PackedLayout& layout,
                    const PackedPass& pass) const;

  PostNormLayer layer_;
  GlobalProjections global_;
  int64_t num_heads_;
  int64_t head_size_;
  Window window_;
};

}  // namespace longspan
