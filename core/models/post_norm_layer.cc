#include "core/models/post_norm_layer.h"

#include <ATen/ops/cat.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/models/take_layers.h"

namespace longspan {
namespace {

constexpr int64_t kRowsPerBlock = 512;  // enough rows for the GEMM's best speed, few enough that [rows, 4E] stays in cache

// One packed [3E, E] product instead of three.
Linear TakeQkv(WeightMap& weights, const PostNormLayer::Names& names, const PostNormLayer::Shape& shape, DataType dtype) {
  std::vector<at::Tensor> weight, bias;
  for (const std::string& name : {names.query, names.key, names.value}) {
    weight.push_back(weights.Take(name + ".weight", {shape.hidden_size, shape.hidden_size}));
    if (shape.qkv_bias) bias.push_back(weights.Take(name + ".bias", {shape.hidden_size}));
  }
  for (const at::Tensor& tensor : weight) {
    if (!tensor.defined()) return {};
  }
  for (const at::Tensor& tensor : bias) {
    if (!tensor.defined()) return {};
  }
  return Linear(at::cat(weight), bias.empty() ? at::Tensor() : at::cat(bias), dtype);
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

PostNormLayer::PostNormLayer(WeightMap& weights, const Names& names, const Shape& shape, DataType dtype)
    : shape_(shape),
      qkv_(TakeQkv(weights, names, shape, dtype)),
      attention_output_(TakeLinear(weights, names.attention_output, shape.hidden_size, shape.hidden_size, dtype)),
      attention_norm_(TakeLayerNorm(weights, names.attention_norm, shape.hidden_size, shape.layer_norm_eps)),
      feed_forward_(TakeLinear(weights, names.intermediate, shape.intermediate_size, shape.hidden_size, dtype, shape.activation),
                    TakeLinear(weights, names.output, shape.hidden_size, shape.intermediate_size, dtype)),
      output_norm_(TakeLayerNorm(weights, names.output_norm, shape.hidden_size, shape.layer_norm_eps)) {}

int64_t PostNormLayer::NumLinearParameters(const Shape& shape) {
  return 4 * shape.hidden_size * shape.hidden_size + 2 * shape.hidden_size * shape.intermediate_size;
}

// In int8 the stream stays float32 and attention runs in bfloat16, where this processor has it: half the memory to move, and
// eight bits of the product are all that int8 gave anyway.
at::Tensor PostNormLayer::Qkv(const at::Tensor& x) const {
  const bool halves = qkv_.quantized() != nullptr && CheckDataTypeSupported(DataType::kBFloat16).ok();
  return qkv_(x, halves ? at::kBFloat16 : x.scalar_type())
      .view({x.size(0), 3, shape_.num_heads, shape_.hidden_size / shape_.num_heads});
}

void PostNormLayer::Finish(at::Tensor& x, const at::Tensor& attended) const {
  const at::Tensor merged = attended.view({x.size(0), shape_.hidden_size});  // heads side by side
  for (int64_t begin = 0; begin < x.size(0); begin += kRowsPerBlock) {
    const int64_t end = std::min(begin + kRowsPerBlock, x.size(0));
    at::Tensor rows = x.slice(0, begin, end);
    const at::Tensor a = attention_norm_.AddNorm(attention_output_(merged.slice(0, begin, end)), rows);
    output_norm_.Run(feed_forward_(a), a, /*update_residual=*/false, rows);
  }
}

}  // namespace longspan
