#include "core/models/take_layers.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/max.h>

#include "absl/strings/str_cat.h"

namespace longspan {

namespace {

// The smallest number that rounds to an infinity: the largest value of the type and half a step. 0
// = no float32 does.
double Overflow(DataType dtype) {
  if (dtype == DataType::kBFloat16) return 3.3961775292304957e38;
  if (dtype == DataType::kFloat16) return 65520;
  return 0;
}

}  // namespace

at::Tensor TakeMatrix(WeightMap& weights, const std::string& name,
                      const std::vector<int64_t>& shape, const Placement& placement) {
  at::Tensor weight = weights.TakeMatrix(name, shape);
  const double overflow = Overflow(placement.dtype);
  if (overflow == 0 || !weight.defined() || weight.numel() == 0) return weight;
  const double most = weight.abs().max().item<double>();
  if (most < overflow) return weight;
  weights.Fail(name,
               absl::StrCat("holds ", most, ", too large for ",
                            std::string(DataTypeName(placement.dtype)), "; allowed: float32"));
  return {};
}

Linear TakeLinear(WeightMap& weights, const std::string& name, int64_t out, int64_t in,
                  const Placement& placement, Activation activation, bool bias) {
  const at::Tensor weight = TakeMatrix(weights, name + ".weight", {out, in}, placement);
  const at::Tensor bias_values = bias ? weights.Take(name + ".bias", {out}) : at::Tensor();
  if (!weight.defined() || (bias && !bias_values.defined())) return {};
  return Linear(weight, bias_values, placement, activation);
}

LayerNorm TakeLayerNorm(WeightMap& weights, const std::string& name, int64_t size, double eps,
                        const Placement& placement, bool bias) {
  const at::Tensor weight = weights.Take(name + ".weight", {size});
  const at::Tensor bias_values = bias ? weights.Take(name + ".bias", {size}) : at::Tensor();
  if (!weight.defined() || (bias && !bias_values.defined())) return {};
  return LayerNorm(weight, bias_values, eps, placement);
}

int64_t WeightBytes(int64_t num_parameters, int64_t num_linear_parameters,
                    const Placement& placement) {
  if (placement.backend != nullptr)
    return num_parameters * static_cast<int64_t>(c10::elementSize(placement.row_type()));
  const int64_t linear_bytes = placement.dtype == DataType::kFloat32    ? 4
                               : placement.dtype == DataType::kBFloat16 ? 2
                                                                        : 1;
  return 4 * (num_parameters - num_linear_parameters) + linear_bytes * num_linear_parameters;
}

}  // namespace longspan
