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
                             DataType dtype)
    : dtype_(dtype),
      attention_(kind == ReformerConfig::LayerKind::kLocal
                     ? MakeLocalAttention(weights, name + ".attention", config, dtype)
                     : MakeLshAttention(weights, name + ".attention", config, dtype)),
      norm_(TakeLayerNorm(weights, name + ".feed_forward.layer_norm", config.hidden_size,
                          config.layer_norm_eps, dtype)),
      feed_forward_(
          TakeLinear(weights, name + ".feed_forward.dense.dense", config.intermediate_size,
                     config.hidden_size, dtype, config.activation),
          TakeLinear(weights, name + ".feed_forward.output.dense", config.hidden_size,
                     config.intermediate_size, dtype)) {}

void ReformerLayer::Run(at::Tensor& x1, at::Tensor& x2, ReformerPass& pass) const {
  attention_->AddTo(x1, x2, pass);
  ParallelBlocks(static_cast<int64_t>(pass.row_blocks.size()), [&](int64_t i) {
    const auto [begin, end] = pass.row_blocks[i];
    AddToStream(feed_forward_(NormTo(norm_, x1.narrow(0, begin, end - begin), RowType(dtype_))),
                begin, nullptr, x2);
  });
}

}  // namespace longspan
