// The row-wise operations and pooling; attention is in portable_attention.cc and
// portable_global_rows.cc.
#include "core/backend/portable_backend.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/segment_reduce.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "core/backend/apply_activation.h"

namespace longspan {
namespace {

// Rows that are rotated at once: their float32 copies stay small beside the batch.
constexpr int64_t kRotatedRows = 65536;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

std::optional<at::Tensor> Optional(const at::Tensor& x) {
  return x.defined() ? std::optional<at::Tensor>(x) : std::nullopt;
}

// LayerNorm of x [T, E] float32, rounded to `type`.
at::Tensor Normalised(const at::Tensor& x, const NormWeights& norm, at::ScalarType type) {
  return at::layer_norm(x, {x.size(-1)}, norm.weight, Optional(norm.bias), norm.eps).to(type);
}

at::Tensor Reduce(const at::Tensor& rows, const char* how, const at::Tensor& lengths,
                  double initial) {
  // `unsafe` leaves out a check that would read the lengths back from the device.
  return at::segment_reduce(rows, how, lengths, /*indices=*/std::nullopt, /*offsets=*/std::nullopt,
                            /*axis=*/0, /*unsafe=*/true, initial);
}

}  // namespace

at::Tensor PortableBackend::CopyToDevice(const at::Tensor& host) const {
  return host.to(device_, /*non_blocking=*/false, /*copy=*/true);
}

HostCopy PortableBackend::ReadBack(const at::Tensor& values) const {
  return [host = values.cpu()] { return host; };
}

at::Tensor PortableBackend::Product(const at::Tensor& x, const at::Tensor& weight,
                                    const at::Tensor& bias, kernels::Activation activation) const {
  at::Tensor y = at::linear(x, weight, Optional(bias));
  ApplyActivation(activation, y);
  return y;
}

at::Tensor PortableBackend::GatedUnit(const at::Tensor& both,
                                      kernels::Activation activation) const {
  const int64_t width = both.size(1) / 2;
  at::Tensor unit = both.narrow(1, 0, width).contiguous();
  ApplyActivation(activation, unit);
  return unit.mul_(both.narrow(1, width, width));
}

at::Tensor PortableBackend::Norm(const at::Tensor& x, const NormWeights& norm) const {
  return Normalised(x.to(at::kFloat), norm, x.scalar_type());
}

at::Tensor PortableBackend::AddBiasResidualNorm(const at::Tensor& values, const at::Tensor& bias,
                                                const at::Tensor& residual,
                                                const NormWeights& norm) const {
  at::Tensor sum = values.to(at::kFloat);
  if (bias.defined()) sum = sum.add(bias);
  return Normalised(sum.add(residual), norm, residual.scalar_type());
}

at::Tensor PortableBackend::Embed(const EmbeddingTables& tables, const EmbeddingRows& rows,
                                  const NormWeights& norm) const {
  at::Tensor sum = at::embedding(tables.words, rows.words).to(at::kFloat);
  if (tables.word_scale != 1) sum.mul_(tables.word_scale);
  if (tables.positions.defined()) sum.add_(at::embedding(tables.positions, rows.positions));
  if (tables.types.defined()) {
    sum.add_(rows.types.defined() ? at::embedding(tables.types, rows.types)
                                  : tables.types.select(0, 0));
  }
  return Normalised(sum, norm, tables.words.scalar_type());
}

void PortableBackend::Rotate(at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin,
                             const at::Tensor& positions) const {
  const int64_t half = qkv.size(3) / 2;
  for (int64_t begin = 0; begin < qkv.size(0); begin += kRotatedRows) {
    const int64_t count = std::min(kRotatedRows, qkv.size(0) - begin);
    at::Tensor qk = qkv.narrow(0, begin, count).narrow(1, 0, 2);  // [rows, 2, H, D]
    const at::Tensor of_rows = positions.narrow(0, begin, count);
    const at::Tensor c = cos.index_select(0, of_rows).view({count, 1, 1, half});
    const at::Tensor s = sin.index_select(0, of_rows).view({count, 1, 1, half});
    const at::Tensor a = qk.narrow(3, 0, half).to(at::kFloat);
    const at::Tensor b = qk.narrow(3, half, half).to(at::kFloat);
    qk.copy_(at::cat({a * c - b * s, b * c + a * s}, 3));
  }
}

at::Tensor PortableBackend::Gather(const at::Tensor& x, const at::Tensor& rows) const {
  return x.index_select(0, rows);
}

void PortableBackend::Scatter(const at::Tensor& values, const at::Tensor& rows,
                              at::Tensor& out) const {
  out.index_copy_(0, rows, values.to(out.scalar_type()));
}

SegmentValues PortableBackend::ReduceSegments(const at::Tensor& rows,
                                              const Segments& segments) const {
  const at::Tensor hidden =
      segments.read.defined() ? segments.read.logical_not().unsqueeze(1) : at::Tensor();
  SegmentValues values;
  if (segments.sum || segments.weights.defined()) {
    at::Tensor exact = rows.to(at::kDouble);
    if (hidden.defined()) exact = exact.masked_fill(hidden, 0);
    if (segments.sum) values.sum = Reduce(exact, "sum", segments.lengths, 0);
    if (segments.weights.defined()) {
      values.weighted_sum =
          Reduce(exact * segments.weights.to(at::kDouble).unsqueeze(1), "sum", segments.lengths, 0);
    }
  }
  if (segments.max) {
    at::Tensor seen = rows.to(at::kFloat).contiguous();
    if (hidden.defined()) seen = seen.masked_fill(hidden, kMinusInfinity);
    values.max = Reduce(seen, "max", segments.lengths, kMinusInfinity);
  }
  return values;
}

}  // namespace longspan
