// ModernBertLayer: a pre-norm layer with rotary positions and a gated feed-forward half. x is the
// residual stream:
//   x += Wo attention(rope(Wqkv LN(x)))
//   x += Wout (act(a) * g),  [a | g] = Wi LN(x)
// Layer 0 has no first LN, since its input comes from the LayerNorm of the embeddings. A query sees
// the whole text, or the keys at most `window` away.
// Source: ModernBERT, arXiv 2412.13663, sec. 2.1. Thread safe. Proven by relatives_golden_test,
// fixtures_test and first_row_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"
#include "core/layers/rope.h"
#include "core/models/modernbert/config.h"
#include "core/models/packed_pass.h"
#include "core/weights/weight_map.h"

namespace longspan {

class ModernBertLayer {
 public:
  // Missing weights are recorded in the map.
  ModernBertLayer(WeightMap& weights, const ModernBertConfig& config, int64_t index,
                  const RotaryEmbedding& rope, const Placement& placement);

  // x [T, E] becomes the layer's output.
  void Forward(PackedPass& pass, at::Tensor& x) const;
  // The output rows of the first token of each text alone, [B, E].
  at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;

 private:
  // Wqkv LN(rows), rotated: [rows, 3, H, D]. The rows of a text must start at its first token,
  // since its positions are counted from 0. `layout`: see RotaryEmbedding::Apply.
  at::Tensor RotatedQkv(const at::Tensor& rows, std::span<const int32_t> cu_seqlens,
                        const DeviceLayout* layout = nullptr) const;
  // Both additions to x [T, E]; attended [T, H, D]. With a `pass` it pauses between blocks of rows.
  // If the pass is to stop, x is left half done.
  void Finish(at::Tensor& x, const at::Tensor& attended, const PackedPass* pass = nullptr) const;

  int64_t num_heads_;
  int64_t head_size_;
  int64_t window_;
  double scale_;
  Placement placement_;
  bool has_int8_scores_;
  RotaryEmbedding rope_;
  LayerNorm attention_norm_;  // undefined in layer 0
  Linear qkv_;
  Linear attention_output_;
  LayerNorm mlp_norm_;
  FeedForward mlp_;
};

}  // namespace longspan
