// ApplyActivation: an activation on a tensor, in place, on any device.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/activation.h"

namespace longspan {

void ApplyActivation(kernels::Activation activation, at::Tensor& x);

}  // namespace longspan
