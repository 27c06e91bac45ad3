#include "core/models/reformer/layer.h"

#include "core/attention/parallel_blocks.h"
#include "core/models/take_layers.h"

namespace longspan {

at::Tensor ToLinearInput(const at::Tensor& x, DataType dtype) { return dtype == DataType::kBFloat16 ? x.to(at::kBFloat16) : x; }

ReformerLayer::ReformerLayer(WeightMap& weights, const std::string& name, const ReformerConfig& config,
                             ReformerConfig::LayerKind kind, DataType dtype)
    : dtype_(dtype),
      attention_(kind == ReformerConfig::LayerKind::kLocal ? MakeLocalAttention(weights, name + ".attention", config, dtype)
                                                           : MakeLshAttention(weights, name + ".attention", config, dtype)),
      norm_(TakeLayerNorm(weights, name + ".feed_forward.layer_norm", config.hidden_size, config.layer_norm_eps)),
      up_(TakeLinear(weights, name + ".feed_forward.dense.dense", config.intermediate_size, config.hidden_size, dtype,
                     config.activation)),
      down_(TakeLinear(weights, name + ".feed_forward.output.dense", config.hidden_size, config.intermediate_size, dtype)) {}

void ReformerLayer::Run(at::Tensor& x1, at::Tensor& x2, ReformerPass& pass) const {
  attention_->AddTo(x1, x2, pass);
  FeedForward(x1, x2, pass);
}

void ReformerLayer::FeedForward(const at::Tensor& x1, at::Tensor& x2, const ReformerPass& pass) const {
  ParallelBlocks(static_cast<int64_t>(pass.row_blocks.size()), [&](int64_t i) {
    const auto [begin, end] = pass.row_blocks[i];
    const at::Tensor normed = norm_(x1.narrow(0, begin, end - begin));
    x2.narrow(0, begin, end - begin).add_(down_(up_(ToLinearInput(normed, dtype_))));
  });
}

}  // namespace longspan
