// ElementTypeOf: the kernels' name for a tensor's type. Throws c10::Error for other types than
// float32 and bfloat16.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/element_type.h"

namespace longspan {

inline kernels::ElementType ElementTypeOf(const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16,
              "takes float32 or bfloat16, got ", x.scalar_type());
  return x.scalar_type() == at::kFloat ? kernels::ElementType::kFloat32
                                       : kernels::ElementType::kBFloat16;
}

}  // namespace longspan
