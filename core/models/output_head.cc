#include "core/models/output_head.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/layers/linear.h"
#include "core/weights/weight_map.h"

namespace longspan {

struct OutputHead::Dense {
  at::Tensor weight;       // [out, in]
  at::Tensor bias;         // [out] or undefined
  at::Tensor residual;     // R, [out, in], or undefined
  bool add_input = false;  // a residual without weights adds x itself; then in == out
  Activation activation = Activation::kNone;
};

namespace {

absl::StatusOr<Activation> DenseActivation(const DenseModule& module) {
  static constexpr std::pair<std::string_view, Activation> kKnown[] = {
      {"Identity", Activation::kNone},
      {"Tanh", Activation::kTanh},
      {"ReLU", Activation::kRelu},
      {"GELU", Activation::kGelu},
      {"SiLU", Activation::kSilu}};
  for (const auto& [name, activation] : kKnown) {
    if (module.activation == name) return activation;
  }
  return absl::UnimplementedError(absl::StrCat(module.weights_path,
                                               ": the module's activation is \"", module.activation,
                                               "\"; known: Identity, Tanh, ReLU, GELU, SiLU"));
}

}  // namespace

OutputHead::OutputHead() = default;
OutputHead::~OutputHead() = default;

absl::StatusOr<std::unique_ptr<OutputHead>> OutputHead::Load(const ModelFolder& folder,
                                                             int64_t pooled_width) {
  auto head = std::unique_ptr<OutputHead>(new OutputHead);
  head->output_width_ = pooled_width;
  for (const DenseModule& module : folder.dense()) {
    if (module.in_features != head->output_width_) {
      return absl::InvalidArgumentError(
          absl::StrCat(module.weights_path, ": the module takes ", module.in_features,
                       " values, but what comes before it gives ", head->output_width_));
    }
    const absl::StatusOr<Activation> activation = DenseActivation(module);
    if (!activation.ok()) return activation.status();
    WeightMap::Rules rules;
    if (module.is_among_others) rules.ignored = {"*"};
    absl::StatusOr<WeightMap> weights = WeightMap::Open({module.weights_path}, rules);
    if (!weights.ok()) return weights.status();
    Dense dense{.activation = *activation};
    dense.weight = weights->Take("linear.weight", {module.out_features, module.in_features});
    if (module.bias) dense.bias = weights->Take("linear.bias", {module.out_features});
    if (module.use_residual)
      dense.residual =
          weights->TakeOptional("residual.weight", {module.out_features, module.in_features});
    if (absl::Status complete = weights->Finish(); !complete.ok()) return complete;
    dense.add_input = module.use_residual && !dense.residual.defined();
    if (dense.add_input && module.in_features != module.out_features) {
      return absl::InvalidArgumentError(
          absl::StrCat(module.weights_path, ": use_residual from ", module.in_features, " to ",
                       module.out_features, " values needs \"residual.weight\""));
    }
    head->num_parameters_ += weights->num_parameters();
    head->output_width_ = module.out_features;
    head->dense_.push_back(std::move(dense));
  }
  return head;
}

std::vector<float> OutputHead::ApplyDense(std::vector<float> pooled) const {
  if (dense_.empty()) return pooled;
  const at::Tensor x = ApplyDense(
      at::from_blob(pooled.data(), {1, static_cast<int64_t>(pooled.size())}, at::kFloat));
  return {x.data_ptr<float>(), x.data_ptr<float>() + x.numel()};
}

at::Tensor OutputHead::ApplyDense(at::Tensor rows) const {
  at::Tensor x = std::move(rows);
  for (const Dense& dense : dense_) {
    at::Tensor y =
        at::linear(x, dense.weight,
                   dense.bias.defined() ? std::optional<at::Tensor>(dense.bias) : std::nullopt);
    ApplyActivation(dense.activation, y);
    if (dense.add_input) y.add_(x);
    if (dense.residual.defined()) y.add_(at::linear(x, dense.residual));
    x = y;
  }
  return x.contiguous();
}

}  // namespace longspan
