// How far a text in a batch may be from the same text alone. The rule is equality: no padding, no seam is crossed. What is left
// is the order in which one row's products are summed.
#pragma once

#include "core/kernels/cpu_features.h"
#include "core/model_info.h"

namespace longspan {

inline float InABatchTolerance(const ModelInfo& info) {
  // A Reformer's blocks of rows lie elsewhere in another batch.
  if (info.architecture == "reformer") return 2e-5f;
  // Without AVX-512, oneDNN's matrix products sum a row otherwise at another number of rows.
  if (!kernels::GetCpuFeatures().avx512) return 1e-5f;
  // The products of global rows sum in another order for another number of globals. All else is the same bit for bit.
  return info.supports_global_attention ? 4e-6f : 1e-6f;
}

}  // namespace longspan
