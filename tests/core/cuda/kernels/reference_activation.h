// Activations by their definitions, in float64.
#pragma once

#include <cmath>

#include "core/kernels/activation.h"

namespace longspan::reference {

inline double Activate(kernels::Activation activation, double x) {
  switch (activation) {
    case kernels::Activation::kNone:
      return x;
    case kernels::Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case kernels::Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case kernels::Activation::kRelu:
      return std::fmax(x, 0);
    case kernels::Activation::kSilu:
      return x / (1 + std::exp(-x));
    case kernels::Activation::kTanh:
      return std::tanh(x);
  }
  return NAN;
}

}  // namespace longspan::reference
