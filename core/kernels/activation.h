// Activations that kernels apply on the fly.
#pragma once

namespace longspan::kernels {

// kGelu is the erf form; kGeluTanh is gelu_new / gelu_pytorch_tanh.
enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };

}  // namespace longspan::kernels
