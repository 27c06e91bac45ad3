// How far a text in a batch may be from the same text alone. The rule is equality, since there is
// no padding and attention never crosses from one text to another. What may differ is the order in
// which the products of one row are summed.
#pragma once

#include <algorithm>

#include "core/kernels/cpu_features.h"
#include "core/kernels/packed_gemm.h"
#include "core/model_info.h"

namespace longspan {

inline float InABatchTolerance(const ModelInfo& info) {
  // LSH layers have float32 products in every type. In int8 the last bit of such a sum, which
  // depends on how rows are cut into blocks, decides between two steps of 8 bits in the products
  // behind it. Measured: 0.072 at most, of rows whose values are about 1.
  constexpr float kStepsOfInt8 = 0.15f;
  const bool has_lsh = std::any_of(info.layers.begin(), info.layers.end(), [](const auto& layer) {
    return layer.kind == AttentionKind::kLsh;
  });
  if (info.dtype == DataType::kInt8 && has_lsh) return kStepsOfInt8;
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

}  // namespace longspan
