// The activations that kernels apply to a value before they store it.
#pragma once

namespace longspan::kernels {

// kGelu is the form with erf; kGeluTanh is the one that checkpoints call gelu_new or
// gelu_pytorch_tanh.
enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };

}  // namespace longspan::kernels
