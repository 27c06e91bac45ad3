// From a value that is known as a kernel is launched to the kernel that is compiled for it. Each of
// these calls `run` with a value of a type that says which, and returns its result.
#pragma once

#include <type_traits>

#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {

// run(__nv_bfloat16()) or run(__half()).
template <typename Run>
cudaError_t WithStorage(Storage storage, Run run) {
  return storage == Storage::kBfloat16 ? run(__nv_bfloat16()) : run(__half());
}

// run(std::integral_constant<kernels::Activation, ...>()).
template <typename Run>
cudaError_t WithActivation(kernels::Activation activation, Run run) {
  using kernels::Activation;
  switch (activation) {
    case Activation::kNone:
      return run(std::integral_constant<Activation, Activation::kNone>());
    case Activation::kGelu:
      return run(std::integral_constant<Activation, Activation::kGelu>());
    case Activation::kGeluTanh:
      return run(std::integral_constant<Activation, Activation::kGeluTanh>());
    case Activation::kRelu:
      return run(std::integral_constant<Activation, Activation::kRelu>());
    case Activation::kSilu:
      return run(std::integral_constant<Activation, Activation::kSilu>());
    case Activation::kTanh:
      return run(std::integral_constant<Activation, Activation::kTanh>());
  }
  return cudaErrorInvalidValue;
}

}  // namespace longspan::cuda
