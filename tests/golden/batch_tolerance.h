// How far a text in a batch may be from the same text alone. The rule is equality: no padding, no
// seam is crossed. What is left is the order in which one row's products are summed.
#pragma once

#include "core/kernels/cpu_features.h"
#include "core/kernels/packed_gemm.h"
#include "core/model_info.h"

namespace longspan {

inline float InABatchTolerance(const ModelInfo& info) {
  // The products of global rows sum in another order for another number of globals.
  constexpr float kGlobalRows = 4e-6f;
  // Our own matrix products sum a row in one order, whatever stands beside it: all else is the same
  // bit for bit.
  if (kernels::PackedGemmIsFastest()) return info.supports_global_attention ? kGlobalRows : 0;
  // A Reformer's blocks of rows lie elsewhere in another batch.
  if (info.architecture == "reformer") return 2e-5f;
  // Without AVX-512 and AVX2, oneDNN's matrix products sum a row otherwise at another number of
  // rows.
  if (!kernels::GetCpuFeatures().avx512) return 1e-5f;
  return info.supports_global_attention ? kGlobalRows : 1e-6f;
}

}  // namespace longspan
