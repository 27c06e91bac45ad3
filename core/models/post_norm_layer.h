// PostNormLayer: the encoder layer of BERT and of its sparse relatives (Longformer, LED, BigBird).
// The models differ in the attention between the two halves of the layer, and in the names of the
// weights:
//
//   x [T, E] -> Qkv -> [T, 3, H, D] -> (attention of the model) -> o [T, H, D] -> Finish:
//     a = LayerNorm(o Wo + bo + x)
//     y = LayerNorm(act(a Wi + bi) Wout + bout + a)
//
// Finish goes through blocks of rows, so that the wide middle of the feed-forward part ([rows, 4E])
// stays small: 64K tokens of a base model would otherwise need 800 MB there. It overwrites x. On a
// backend all rows go at once.
// Source: Attention is all you need, arXiv 1706.03762, sec. 3.1. Thread safe after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"
#include "core/model_info.h"
#include "core/models/encoder_config.h"
#include "core/models/packed_pass.h"
#include "core/weights/weight_map.h"

namespace longspan {

class PostNormLayer {
 public:
  // Names of the weights, without ".weight" and ".bias".
  struct Names {
    std::string query;
    std::string key;
    std::string value;
    std::string attention_output;
    std::string attention_norm;
    std::string intermediate;
    std::string output;
    std::string output_norm;
  };
  // BERT's names: "encoder.layer.N.attention.self.query" and so on.
  static Names BertNames(int64_t layer);

  // Missing weights are recorded in the map; the layer must not be used unless weights.Finish() is
  // OK.
  PostNormLayer(WeightMap& weights, const Names& names, const EncoderConfig& config,
                const Placement& placement, bool qkv_bias = true);

  // x [T, E] -> [T, 3, H, D]: query, key, value. With a `pass` it pauses between blocks of rows
  // (PackedPass::Continue). An undefined tensor = the pass is to stop.
  at::Tensor Qkv(const at::Tensor& x, const PackedPass* pass = nullptr) const;
  // How the model's attention makes its scores (HasInt8Scores).
  bool has_int8_scores() const { return has_int8_scores_; }
  const Placement& placement() const { return placement_; }
  // x [T, E] is the layer's input and becomes its output; attended [T, H, D]. With a `pass` it
  // pauses as Qkv does. If the pass is to stop, x is left half done.
  void Finish(at::Tensor& x, const at::Tensor& attended, const PackedPass* pass = nullptr) const;

  // Number of weights in the linear layers of a whole model. Only these are held in the model's
  // dtype.
  static int64_t NumLinearParameters(const EncoderConfig& config);

 private:
  int64_t num_heads_;
  Placement placement_;
  bool has_int8_scores_;
  Linear qkv_;
  Linear attention_output_;
  LayerNorm attention_norm_;
  FeedForward feed_forward_;
  LayerNorm output_norm_;
};

}  // namespace longspan
