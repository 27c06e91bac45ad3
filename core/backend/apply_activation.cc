#include "core/backend/apply_activation.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tanh.h>

namespace longspan {

using kernels::Activation;

void ApplyActivation(Activation activation, at::Tensor& x) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kGelu:
      at::gelu_(x);
      return;
    case Activation::kGeluTanh:
      at::gelu_(x, "tanh");
      return;
    case Activation::kRelu:
      at::relu_(x);
      return;
    case Activation::kSilu:
      at::silu_(x);
      return;
    case Activation::kTanh:
      at::tanh_(x);
      return;
  }
}

}  // namespace longspan
