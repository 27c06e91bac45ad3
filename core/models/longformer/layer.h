// LongformerLayer: sliding-window attention with global tokens inside BERT's post-norm layer. LED's
// encoder uses it too, with other names of the weights.
//
// Each token sees the tokens up to W away on both sides, and all global tokens of its text. A
// global token sees all of its text, through projections of its own. Example, W = 1, token 3 is
// global:
//   query 0 sees keys 0 1 3            its window and the global key, by the local projections
//   query 2 sees keys 1 2 3            the global key lies in its window and counts once
//   query 3 sees keys 0 1 2 3 4 5 ...  all of its text, by the *_global projections
// Cost O(T·W + G·T) for each layer, for a text of T tokens with G globals; dense attention has
// O(T^2). Source: Longformer, arXiv 2004.05150, sec. 3.1 and 3.2. Deviations: README.md of this
// folder. Proven by longformer_golden_test, fixtures_test and first_row_test.
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
    std::string query;
    std::string key;
    std::string value;
  };
  struct Window {
    int64_t one_sided = 0;    // tokens on each side
    int64_t dense_up_to = 0;  // the longest text that sees all of itself, in tokens; 0 = none
  };
  // Missing weights are recorded in the map.
  LongformerLayer(WeightMap& weights, const PostNormLayer::Names& names,
                  const GlobalNames& global_names, const EncoderConfig& config,
                  const Window& window, const Placement& placement);

  // x [T, E] becomes the layer's output.
  void Forward(PackedPass& pass, at::Tensor& x) const;
  // The output rows of the first token of each text alone, [B, E]. Only the keys that these rows
  // see are projected.
  at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;

 private:
  double Scale() const;
  // The window and the global keys: qkv [T, 3, H, D] -> [T, H, D]. An undefined tensor = the pass
  // is to stop.
  at::Tensor Attend(const at::Tensor& qkv, const PackedLayout& layout,
                    const PackedPass& pass) const;

  PostNormLayer layer_;
  GlobalProjections global_;
  int64_t num_heads_;
  int64_t head_size_;
  Window window_;
};

}  // namespace longspan
