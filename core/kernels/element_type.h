// The element types that kernels read and write. Sums are float32 for both.
#pragma once

namespace longspan::kernels {

enum class ElementType { kFloat32, kBFloat16 };

}  // namespace longspan::kernels
