// Linear: y = activation(x W^T + b) with weights packed once at load through LibTorch's own oneDNN (float32, bfloat16, int8).
// Thread safe after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/model_info.h"

namespace longspan {

// hidden_act of the configs. kGelu is the erf form; kGeluTanh is gelu_new / gelu_pytorch_tanh.
enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };
// INVALID_ARGUMENT names the ones known.
absl::StatusOr<Activation> ParseActivation(std::string_view hidden_act);
// In place.
void ApplyActivation(Activation activation, at::Tensor& x);

class Linear {
 public:
  Linear() = default;
  // weight [out, in] float32; bias [out] float32 or undefined.
  Linear(const at::Tensor& weight, const at::Tensor& bias, DataType dtype, Activation activation = Activation::kNone);

  // x [M, in] float32 (kBFloat16 models also bfloat16) -> [M, out] of x's type.
  at::Tensor operator()(const at::Tensor& x) const;

  int64_t in_features() const { return in_features_; }
  int64_t out_features() const { return out_features_; }
  bool defined() const { return packed_.defined(); }

 private:
  int64_t in_features_ = 0;
  int64_t out_features_ = 0;
  DataType dtype_ = DataType::kFloat32;
  Activation activation_ = Activation::kNone;
  at::Tensor packed_;
  at::Tensor bias_;
};

}  // namespace longspan
