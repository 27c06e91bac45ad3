#include "core/layers/placement.h"

#include <ATen/ops/tensor.h>

#include "core/backend/backend.h"
#include "core/layers/linear.h"

namespace longspan {

at::ScalarType Placement::row_type() const {
  if (backend == nullptr) return RowType(dtype);
  switch (dtype) {
    case DataType::kFloat32:
      return at::kFloat;
    case DataType::kFloat16:
      return at::kHalf;
    case DataType::kBFloat16:
    case DataType::kInt8:
      return at::kBFloat16;
  }
  return at::kFloat;
}

bool Placement::has_int8_scores() const { return backend == nullptr && HasInt8Scores(dtype); }

at::Tensor Placement::Store(const at::Tensor& weight, at::ScalarType type) const {
  return weight.defined() ? backend->Upload(weight.to(type).contiguous()) : weight;
}

at::Tensor Placement::Rows(const std::vector<int64_t>& rows) const {
  const at::Tensor on_host = at::tensor(rows);
  return backend == nullptr ? on_host : backend->Upload(on_host);
}

}  // namespace longspan
