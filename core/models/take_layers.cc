#include "core/models/take_layers.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/max.h>

#include "absl/strings/str_cat.h"

namespace longspan {

at::Tensor TakeMatrix(WeightMap& weights, const std::string& name,
                      const std::vector<int64_t>& shape, DataType dtype) {
  // Larger numbers round to an infinity: the largest bfloat16 and half a step.
  constexpr double kMostBFloat16 = 3.3961775292304957e38;
  at::Tensor weight = weights.TakeMatrix(name, shape);
  if (dtype != DataType::kBFloat16 || !weight.defined() || weight.numel() == 0) return weight;
  const double most = weight.abs().max().item<double>();
  if (most < kMostBFloat16) return weight;
  weights.Fail(name, absl::StrCat("holds ", most, ", too large for bfloat16; allowed: float32"));
  return {};
}

Linear TakeLinear(WeightMap& weights, const std::string& name, int64_t out, int64_t in,
                  DataType dtype, Activation activation, bool bias) {
  const at::Tensor weight = TakeMatrix(weights, name + ".weight", {out, in}, dtype);
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
