#include "tests/cuda/operation_check.h"

#include <ATen/TensorOperators.h>
#include <c10/util/Exception.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/backend/portable_backend.h"

namespace longspan {
namespace {

const char* NameOf(at::ScalarType type) {
  return type == at::kFloat ? "float32" : type == at::kBFloat16 ? "bfloat16" : "float16";
}

const PortableBackend& Portable() {
  static const PortableBackend portable{at::Device(at::kCPU)};
  return portable;
}

struct RelativeErrors {
  double whole = 0, worst_row = 0;
};

// Rows are along the first dimension. Where `want` is infinite or NaN, `got` must be the same.
RelativeErrors ErrorsOf(const at::Tensor& got_there, const at::Tensor& want) {
  if (got_there.sizes() != want.sizes()) return {NAN, NAN};
  if (want.numel() == 0) return {};
  const at::Tensor got = got_there.cpu().to(at::kDouble).reshape({want.size(0), -1});
  const at::Tensor exact = want.to(at::kDouble).reshape({want.size(0), -1});
  const at::Tensor same = got.eq(exact).logical_or(got.isnan().logical_and(exact.isnan()));
  const at::Tensor difference = (got - exact).masked_fill(same, 0).pow(2).sum(1).sqrt();  // [rows]
  const at::Tensor size = exact.masked_fill(exact.isfinite().logical_not(), 0).pow(2).sum(1).sqrt();
  const double rows = static_cast<double>(want.size(0));
  const double all = std::sqrt(size.pow(2).sum().item<double>());
  const double usual = all / std::sqrt(rows);
  const double off = std::sqrt(difference.pow(2).sum().item<double>());
  if (off == 0) return {};
  if (all == 0) return {off, off};
  return {off / all, (difference / size.clamp_min(usual / 10)).max().item<double>()};
}

}  // namespace

double OperationBound(at::ScalarType type) {
  return type == at::kFloat ? 1e-5 : type == at::kBFloat16 ? 6e-3 : 8e-4;
}
double RowBound(at::ScalarType type) {
  return type == at::kFloat ? 1e-4 : type == at::kBFloat16 ? 3e-2 : 4e-3;
}

void OperationCheck::RunIn(at::ScalarType type, const std::string& what, const Maker& make) const {
  const std::string name = absl::StrCat(what, ", ", NameOf(type));
  if (place_.TimeIsOver()) return section_.OutOfTime(name);
  try {
    const Operation operation = make(type);
    const std::vector<at::Tensor> want = operation(Portable(), at::kFloat);
    const std::vector<at::Tensor> got = operation(*place_.backend, type);
    RelativeErrors worst;
    for (size_t i = 0; i < want.size(); ++i) {
      const RelativeErrors errors = ErrorsOf(got[i], want[i]);
      if (!(errors.whole <= worst.whole)) worst.whole = errors.whole;
      if (!(errors.worst_row <= worst.worst_row)) worst.worst_row = errors.worst_row;
    }
    section_.Compare(name, worst.whole, OperationBound(type), {{"worst_row", worst.worst_row}});
    if (!(worst.worst_row <= RowBound(type)))
      section_.Compare(name + ", worst row", worst.worst_row, RowBound(type));
  } catch (const c10::Error& error) {
    section_.Require(name, false, error.what_without_backtrace());
  }
}

void OperationCheck::Run(const std::string& what, const Maker& make) const {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) RunIn(type, what, make);
}

}  // namespace longspan
