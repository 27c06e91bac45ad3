// What calls of our kernels share: from tensors to the raw pointers that kernels.h takes.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "core/cuda/kernels/kernels.h"

namespace longspan::cuda {

// Whether our kernels take values of this type; the others go LibTorch's way.
inline bool IsStored(at::ScalarType type) { return type == at::kBFloat16 || type == at::kHalf; }

inline Storage StorageOf(const at::Tensor& x) {
  TORCH_CHECK(IsStored(x.scalar_type()), "kernels take bfloat16 and float16, got ",
              x.scalar_type());
  return x.scalar_type() == at::kHalf ? Storage::kFloat16 : Storage::kBfloat16;
}

// Kernels read and write 16 bytes at a time.
inline bool IsAligned(const at::Tensor& x) {
  return reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0;
}

inline const void* PointerOrNull(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr() : nullptr;
}
inline const float* FloatsOrNull(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<float>() : nullptr;
}

// A mask of rows, bool: 0 = not read.
inline const uint8_t* MaskOrNull(const at::Tensor& mask) {
  return mask.defined() ? reinterpret_cast<const uint8_t*>(mask.const_data_ptr<bool>()) : nullptr;
}

// After the launch of a kernel.
inline void CheckLaunch(cudaError_t error, const char* kernel) {
  TORCH_CHECK(error == cudaSuccess, kernel, ": ", cudaGetErrorString(error));
}

}  // namespace longspan::cuda
