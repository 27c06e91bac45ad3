#include "core/models/take_layers.h"

namespace longspan {

Linear TakeLinear(WeightMap& weights, const std::string& name, int64_t out, int64_t in,
                  DataType dtype, Activation activation, bool bias) {
  const at::Tensor weight = weights.TakeMatrix(name + ".weight", {out, in});
  const at::Tensor bias_values = bias ? weights.Take(name + ".bias", {out}) : at::Tensor();
  if (!weight.defined() || (bias && !bias_values.defined())) return {};
  return Linear(weight, bias_values, dtype, activation);
}

LayerNorm TakeLayerNorm(WeightMap& weights, const std::string& name, int64_t size, double eps,
                        bool bias) {
  const at::Tensor weight = weights.Take(name + ".weight", {size});
  const at::Tensor bias_values = bias ? weights.Take(name + ".bias", {size}) : at::Tensor();
  if (!weight.defined() || (bias && !bias_values.defined())) return {};
  return LayerNorm(weight, bias_values, eps);
}

int64_t WeightBytes(int64_t num_parameters, int64_t num_linear_parameters, DataType dtype) {
  const int64_t linear_bytes = dtype == DataType::kFloat32    ? 4
                               : dtype == DataType::kBFloat16 ? 2
                                                              : 1;
  return 4 * (num_parameters - num_linear_parameters) + linear_bytes * num_linear_parameters;
}

}  // namespace longspan
