// AddRows: to[rows[i]] += from[i], rows of float32 anywhere in memory: how results in the order of
// some sorting come back to the residual stream. Rows ahead are prefetched, because the processor
// does not see them coming. Serial; the rows of two calls that run at once must differ. Proven by
// add_rows_test.
#pragma once

#include <cstdint>

#include "core/kernels/element_type.h"

namespace longspan::kernels {

struct AddRowsParams {
  const void* from = nullptr;  // [count, width]
  ElementType type = ElementType::kFloat32;
  float* to = nullptr;            // row r at to + r * width
  const int32_t* rows = nullptr;  // [count]; null = 0, 1, 2, ...
  int64_t count = 0;
  int64_t width = 0;
};

void AddRows(const AddRowsParams& params);

}  // namespace longspan::kernels
