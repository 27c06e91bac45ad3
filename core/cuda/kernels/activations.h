// The activations of core/kernels/activation.h in float32. NaN stays NaN. Proven by
// activations_test.
#pragma once

#include <cmath>

#include "core/cuda/kernels/gelu.h"
#include "core/cuda/kernels/host_device.h"
#include "core/kernels/activation.h"

namespace longspan::cuda {

// x (1 + tanh u) / 2 = x / (1 + exp(-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3).
LONGSPAN_HOST_DEVICE float GeluTanh(float x) {
  constexpr float kTwoLog2E = 2 * 1.4426950408889634F;
  constexpr float kRoot = 0.7978845608028654F;  // sqrt(2 / pi)
  return ShareOfOdds(x, -x * (x * x * (kTwoLog2E * kRoot * 0.044715F) + kTwoLog2E * kRoot));
}

LONGSPAN_HOST_DEVICE float Silu(float x) { return ShareOfOdds(x, x * -1.4426950408889634F); }

// 1 - 2 / (1 + exp(2 |x|)) loses digits near 0, where the Taylor series takes its place.
LONGSPAN_HOST_DEVICE float Tanh(float x) {
  const float y = x * x;
  float series = y * (62.0F / 2835.0F) - 17.0F / 315.0F;
  series = series * y + 2.0F / 15.0F;
  series = series * y - 1.0F / 3.0F;
  series = series * (x * y) + x;
  const float far = 1.0F - ShareOfOdds(2.0F, fabsf(x) * (2 * 1.4426950408889634F));
  return y < 0.09F ? series : copysignf(far, x);
}

template <kernels::Activation kActivation>
LONGSPAN_HOST_DEVICE float Activate(float x) {
  using kernels::Activation;
  if constexpr (kActivation == Activation::kGelu) {
    return Gelu(x);
  } else if constexpr (kActivation == Activation::kGeluTanh) {
    return GeluTanh(x);
  } else if constexpr (kActivation == Activation::kRelu) {
    return x < 0.0F ? 0.0F : x;
  } else if constexpr (kActivation == Activation::kSilu) {
    return Silu(x);
  } else if constexpr (kActivation == Activation::kTanh) {
    return Tanh(x);
  } else {
    static_assert(kActivation == Activation::kNone);
    return x;
  }
}

}  // namespace longspan::cuda
