// How far a text in a batch may be from the same text alone. The rule is equality, since there is
// no padding and attention never crosses from one text to another. What may differ is the order in
// which the products of one row are summed.
#pragma once

#include "core/kernels/cpu_features.h"
#include "core/kernels/packed_gemm.h"
#include "core/model_info.h"

namespace longspan {

inline float InABatchTolerance(const ModelInfo& info) {
  // With another number of globals, the products of global rows are summed in another order.
  constexpr float kGlobalRows = 4e-6f;
  // The packed products of core/kernels sum a row in one order, whatever stands beside it. All else
  // is then the same bit for bit.
  if (kernels::PackedGemmIsFastest()) return info.supports_global_attention ? kGlobalRows : 0;
  // In another batch a Reformer's rows are cut into other blocks.
  if (info.architecture == "reformer") return 2e-5f;
  // Without AVX-512 and AVX2, oneDNN sums a row in another order where the number of rows is
  // another.
  if (!kernels::GetCpuFeatures().avx512) return 1e-5f;
  return info.supports_global_attention ? kGlobalRows : 1e-6f;
}

// The same on a backend: a library of products sums in another order where the number of rows is
// another.
inline float InABatchOnABackend(const ModelInfo& info) {
  return info.architecture == "reformer" ? 2e-5f : 1e-5f;
}

}  // namespace longspan
