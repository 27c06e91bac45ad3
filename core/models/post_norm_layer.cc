#include "core/models/post_norm_layer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/layers/quantized_linear.h"
#include "core/models/row_blocks.h"
#include "core/models/take_layers.h"

namespace longspan {
namespace {

// One packed [3E, E] product instead of three.
Linear TakeQkv(WeightMap& weights, const PostNormLayer::Names& names, int64_t hidden_size,
               bool has_bias, const Placement& placement) {
  std::vector<at::Tensor> weight, bias;
  for (const std::string& name : {names.query, names.key, names.value}) {
    weight.push_back(TakeMatrix(weights, name + ".weight", {hidden_size, hidden_size}, placement));
    if (has_bias) bias.push_back(weights.Take(name + ".bias", {hidden_size}));
  }
  for (const at::Tensor& tensor : weight) {
    if (!tensor.defined()) return {};
  }
  for (const at::Tensor& tensor : bias) {
    if (!tensor.defined()) return {};
  }
  return Linear(at::cat(weight), bias.empty() ? at::Tensor() : at::cat(bias), placement);
}

}  // namespace

PostNormLayer::Names PostNormLayer::BertNames(int64_t layer) {
  const std::string prefix = absl::StrCat("encoder.layer.", layer, ".");
  return {.query = prefix + "attention.self.query",
          .key = prefix + "attention.self.key",
          .value = prefix + "attention.self.value",
          .attention_output = prefix + "attention.output.dense",
          .attention_norm = prefix + "attention.output.LayerNorm",
          .intermediate = prefix + "intermediate.dense",
          .output = prefix + "output.dense",
          .output_norm = prefix + "output.LayerNorm"};
}

PostNormLayer::PostNormLayer(WeightMap& weights, const Names& names, const EncoderConfig& config,
                             const Placement& placement, bool qkv_bias)
    : num_heads_(config.num_heads),
      placement_(placement),
      has_int8_scores_(placement.has_int8_scores()),
      qkv_(TakeQkv(weights, names, config.hidden_size, qkv_bias, placement)),
      attention_output_(TakeLinear(weights, names.attention_output, config.hidden_size,
                                   config.hidden_size, placement)),
      attention_norm_(TakeLayerNorm(weights, names.attention_norm, config.hidden_size,
                                    config.layer_norm_eps, placement)),
      feed_forward_(TakeLinear(weights, names.intermediate, config.intermediate_size,
                               config.hidden_size, placement, config.activation),
                    TakeLinear(weights, names.output, config.hidden_size, config.intermediate_size,
                               placement)),
      output_norm_(TakeLayerNorm(weights, names.output_norm, config.hidden_size,
                                 config.layer_norm_eps, placement)) {}

int64_t PostNormLayer::NumLinearParameters(const EncoderConfig& config) {
  return config.num_layers * (4 * config.hidden_size * config.hidden_size +
                              2 * config.hidden_size * config.intermediate_size);
}

at::Tensor PostNormLayer::Qkv(const at::Tensor& x, const PackedPass* pass) const {
  const int64_t rows = x.size(0);
  const int64_t rows_at_once = PackedPass::RowsPerPause();
  at::Tensor qkv;
  if (pass == nullptr || placement_.takes_all_rows() || rows <= rows_at_once) {
    qkv = qkv_(x);
  } else {
    qkv = at::empty({rows, 3 * x.size(1)}, x.options());
    for (int64_t begin = 0; begin < rows; begin += rows_at_once) {
      if (begin > 0 && !pass->Continue()) return {};
      const int64_t end = std::min(begin + rows_at_once, rows);
      at::Tensor block = qkv.slice(0, begin, end);
      qkv_.Run(x.slice(0, begin, end), block);
    }
  }
  return qkv.view({rows, 3, num_heads_, x.size(1) / num_heads_});
}

void PostNormLayer::Finish(at::Tensor& x, const at::Tensor& attended,
                           const PackedPass* pass) const {
  const at::Tensor merged = attended.view(x.sizes());  // heads side by side
  if (placement_.takes_all_rows()) {
    const at::Tensor a = attention_norm_.AddBiasNorm(attention_output_.ProductAlone(merged),
                                                     attention_output_.bias(), x);
    x = feed_forward_.PostNorm(a, output_norm_);
    return;
  }
  ForEachRowBlock(x.size(0), pass, [&](int64_t begin, int64_t end) {
    at::Tensor rows = x.slice(0, begin, end);
    QuantizedRows quantized;
    const bool int8 = feed_forward_.takes_quantized();
    const at::Tensor a = attention_norm_.AddNorm(attention_output_(merged.slice(0, begin, end)),
                                                 rows, int8 ? &quantized : nullptr);
    output_norm_.Run(
        int8 ? feed_forward_.OfQuantized(quantized, a.scalar_type()) : feed_forward_(a), a, rows);
  });
}

}  // namespace longspan
