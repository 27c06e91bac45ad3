#include "core/models/reformer/layer.h"

#include <ATen/ops/empty.h>

#include "core/kernels/add_rows.h"
#include "core/layers/element_type_of.h"
#include "core/models/take_layers.h"
#include "core/runtime/parallel_blocks.h"

namespace longspan {

at::Tensor NormTo(const LayerNorm& norm, const at::Tensor& x, at::ScalarType type) {
  at::Tensor out = at::empty(x.sizes(), type);
  norm.Run(x, /*residual=*/{}, out);
  return out;
}

void AddToStream(const at::Tensor& from, int64_t begin, const int32_t* rows, at::Tensor& stream) {
  kernels::AddRows({.from = from.const_data_ptr(),
                    .type = ElementTypeOf(from),
                    .to = stream.mutable_data_ptr<float>() + begin * stream.size(1),
                    .rows = rows,
                    .count = from.size(0),
                    .width = from.size(1)});
}

ReformerLayer::ReformerLayer(WeightMap& weights, const std::string& name,
                             const ReformerConfig& config, ReformerConfig::LayerKind kind,
                             const Placement& placement)
    : placement_(placement),
      attention_(kind == ReformerConfig::LayerKind::kLocal
                     ? MakeLocalAttention(weights, name + ".attention", config, placement)
                     : MakeLshAttention(weights, name + ".attention", config, placement)),
      norm_(TakeLayerNorm(weights, name + ".feed_forward.layer_norm", config.hidden_size,
                          config.layer_norm_eps, placement)),
      feed_forward_(
          TakeLinear(weights, name + ".feed_forward.dense.dense", config.intermediate_size,
                     config.hidden_size, placement, config.activation),
          TakeLinear(weights, name + ".feed_forward.output.dense", config.hidden_size,
                     config.intermediate_size, placement)) {}

void ReformerLayer::Run(at::Tensor& x1, at::Tensor& x2, ReformerPass& pass) const {
  attention_->AddTo(x1, x2, pass);
  if (placement_.takes_all_rows()) {
    x2.add_(feed_forward_(norm_(x1).to(placement_.row_type())));
    return;
  }
  ParallelBlocks(static_cast<int64_t>(pass.row_blocks.size()), [&](int64_t i) {
    const auto [begin, end] = pass.row_blocks[i];
    AddToStream(
        feed_forward_(NormTo(norm_, x1.narrow(0, begin, end - begin), placement_.row_type())),
        begin, nullptr, x2);
  });
}

}  // namespace longspan
