// AddRows: to[rows[i]] += from[i] for rows that lie anywhere in memory. This is how results that
// were computed in a sorted order come back to the residual stream, which is float32. Rows ahead
// are prefetched, because the processor cannot foresee them.
// Runs on the calling thread; two calls that run at once must write different rows.
// Cost O(count · width), no scratch. Proven by add_rows_test.
#pragma once

#include <cstdint>

#include "core/kernels/element_type.h"

namespace longspan::kernels {

struct AddRowsParams {
  const void* from = nullptr;                // [count, width]
  ElementType type = ElementType::kFloat32;  // of from
  float* to = nullptr;                       // row r at to + r * width; may not alias from
  const int32_t* rows = nullptr;             // [count], all different; null = 0, 1, 2, ...
  int64_t count = 0;
  int64_t width = 0;
};

void AddRows(const AddRowsParams& params);

}  // namespace longspan::kernels
