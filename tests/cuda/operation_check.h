// OperationCheck: one operation of a Backend on the device, in each storage type, against the
// portable backend on the CPU in float32 over the same values.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/randn.h>

#include <functional>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "tests/cuda/backend_check.h"

namespace longspan {

// The largest relative error |got - want| / |want| of a whole result in this type: what rounding
// the result and values on the way to it costs, with room for other orders of sums.
double OperationBound(at::ScalarType type);
// The same of the worst row. A row that is much smaller than the others counts as if it had a tenth
// of their size.
double RowBound(at::ScalarType type);

class OperationCheck {
 public:
  // Runs an operation on `backend`; values are to be put there in `type`, by Put.
  using Operation =
      std::function<std::vector<at::Tensor>(const Backend& backend, at::ScalarType type)>;
  // Makes an operation over new random values, all of which `type` holds exactly (Random).
  using Maker = std::function<Operation(at::ScalarType type)>;

  OperationCheck(const CheckPlace& place, CheckSection& section)
      : place_(place), section_(section) {}

  // One row of the section for each storage type.
  void Run(const std::string& what, const Maker& make) const;
  void RunIn(at::ScalarType type, const std::string& what, const Maker& make) const;
  const CheckPlace& place() const { return place_; }

 private:
  const CheckPlace& place_;
  CheckSection& section_;
};

// Normal values on the CPU, float32, that `type` holds exactly.
inline at::Tensor Random(at::IntArrayRef shape, at::ScalarType type, double scale = 1) {
  return at::randn(shape).mul_(scale).to(type).to(at::kFloat);
}
inline at::Tensor Put(const Backend& backend, const at::Tensor& values, at::ScalarType type) {
  return values.defined() ? backend.Upload(values.to(type)) : at::Tensor();
}

}  // namespace longspan
