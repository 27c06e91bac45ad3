// The element types that kernels read and write; sums are float32 in both.
#pragma once

namespace longspan::kernels {

enum class ElementType { kFloat32, kBFloat16 };

}  // namespace longspan::kernels
