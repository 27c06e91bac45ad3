// PostNormLayer: the encoder layer of BERT and of its sparse relatives (Longformer, LED, BigBird),
// which differ in the attention between its two halves and in the names of the weights:
//
//   [T, E] -> Qkv -> [T, 3, H, D] -> (attention of the model) -> [T, H, D] -> Finish:
//     a = LayerNorm(o Wo + bo + x)        y = LayerNorm(act(a Wi + bi) Wout + bout + a)
//
// Finish goes through blocks of rows, so that the wide middle of the feed-forward part ([rows, 4E])
// stays small: 64K tokens of a base model would otherwise need 800 MB there. It overwrites x.
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
  // Weight names without ".weight" and ".bias".
  struct Names {
    std::string query, key, value, attention_output, attention_norm, intermediate, output,
        output_norm;
  };
  // BERT's own: "encoder.layer.N." + attention.self.query, ...
  static Names BertNames(int64_t layer);

  // Missing weights are recorded in the map; the layer must not be used unless weights.Finish() is
  // OK.
  PostNormLayer(WeightMap& weights, const Names& names, const EncoderConfig& config, DataType dtype,
                bool qkv_bias = true);

  // x [T, E] -> [T, 3, H, D]: query, key, value. With a `pass` it pauses between blocks of rows;
  // undefined = the pass is to stop.
  at::Tensor Qkv(const at::Tensor& x, const PackedPass* pass = nullptr) const;
  // x [T, E] is the layer's input and becomes its output; attended [T, H, D]. Pauses as Qkv;
  // stopped, it leaves x half done.
  void Finish(at::Tensor& x, const at::Tensor& attended, const PackedPass* pass = nullptr) const;

  // Weights of the linear layers of a whole model (held in its dtype).
  static int64_t NumLinearParameters(const EncoderConfig& config);

 private:
  int64_t num_heads_;
  Linear qkv_;
  Linear attention_output_;
  LayerNorm attention_norm_;
  FeedForward feed_forward_;
  LayerNorm output_norm_;
};

}  // namespace longspan
