// What goes row by row, and pooling: one pass of a kernel of ours each, where it takes
// the types and widths.
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include <cstdint>

#include "core/cuda/kernel_backend.h"
#include "core/cuda/kernel_call.h"
#include "core/cuda/kernels/segment_reduce.h"

namespace longspan {
namespace {

// Whether a kernel takes x as rows: 16 bytes at a time, one row behind the other.
bool AreRows(const at::Tensor& x) {
  return cuda::IsStored(x.scalar_type()) && x.size(-1) % 8 == 0 && x.is_contiguous() &&
         cuda::IsAligned(x);
}

// Whether a kernel takes x, [E] or a table [.., E], beside rows of `type`; undefined is nothing.
bool IsBeside(const at::Tensor& x, at::ScalarType type) {
  return !x.defined() || (x.scalar_type() == type && x.is_contiguous() && cuda::IsAligned(x));
}

bool TakesNorm(const NormWeights& norm, int64_t width) {
  return width <= cuda::kMaxNormWidth && IsBeside(norm.weight, at::kFloat) &&
         IsBeside(norm.bias, at::kFloat);
}

const int32_t* IdsOrNull(const at::Tensor& ids) {
  return ids.defined() ? ids.const_data_ptr<int32_t>() : nullptr;
}

}  // namespace

at::Tensor KernelBackend::Product(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& bias, kernels::Activation activation) const {
  const auto by_library = [&] { return PortableBackend::Product(x, weight, bias, activation); };
  // Without an activation cuBLASLt adds the bias as it writes the product.
  if (activation == kernels::Activation::kNone) return by_library();
  if (!cuda::IsStored(x.scalar_type()) || weight.size(0) % 8 != 0 ||
      !IsBeside(bias, x.scalar_type()))
    return by_library();
  at::Tensor y = at::linear(x, weight);
  const cuda::AddBiasActivationParams params{.values = y.mutable_data_ptr(),
                                             .bias = cuda::PointerOrNull(bias),
                                             .activation = activation,
                                             .rows = y.size(0),
                                             .width = static_cast<int>(y.size(1)),
                                             .storage = cuda::StorageOf(y)};
  cuda::CheckLaunch(cuda::AddBiasActivation(params, stream()), "AddBiasActivation");
  return y;
}

at::Tensor KernelBackend::GatedUnit(const at::Tensor& both, kernels::Activation activation) const {
  const int64_t width = both.size(1) / 2;
  if (!AreRows(both) || width % 8 != 0) return PortableBackend::GatedUnit(both, activation);
  at::Tensor unit = at::empty({both.size(0), width}, both.options());
  const cuda::GatedUnitParams params{.both = both.const_data_ptr(),
                                     .out = unit.mutable_data_ptr(),
                                     .activation = activation,
                                     .rows = both.size(0),
                                     .width = static_cast<int>(width),
                                     .storage = cuda::StorageOf(both)};
  cuda::CheckLaunch(cuda::GatedUnit(params, stream()), "GatedUnit");
  return unit;
}

at::Tensor KernelBackend::NormByKernel(const at::Tensor& values, const at::Tensor& bias,
                                       const at::Tensor& residual, const NormWeights& norm) const {
  const at::ScalarType type = values.scalar_type();
  const bool takes = AreRows(values) && IsBeside(bias, type) && IsBeside(residual, type) &&
                     TakesNorm(norm, values.size(1));
  if (!takes) return {};
  at::Tensor out = at::empty_like(values);
  const cuda::AddBiasResidualNormParams params{.values = values.const_data_ptr(),
                                               .bias = cuda::PointerOrNull(bias),
                                               .residual = cuda::PointerOrNull(residual),
                                               .gamma = cuda::FloatsOrNull(norm.weight),
                                               .beta = cuda::FloatsOrNull(norm.bias),
                                               .epsilon = static_cast<float>(norm.eps),
                                               .out = out.mutable_data_ptr(),
                                               .rows = values.size(0),
                                               .width = static_cast<int>(values.size(1)),
                                               .storage = cuda::StorageOf(values)};
  cuda::CheckLaunch(cuda::AddBiasResidualNorm(params, stream()), "AddBiasResidualNorm");
  return out;
}

at::Tensor KernelBackend::Norm(const at::Tensor& x, const NormWeights& norm) const {
  const at::Tensor out = NormByKernel(x, /*bias=*/{}, /*residual=*/{}, norm);
  return out.defined() ? out : PortableBackend::Norm(x, norm);
}

at::Tensor KernelBackend::AddBiasResidualNorm(const at::Tensor& values, const at::Tensor& bias,
                                              const at::Tensor& residual,
                                              const NormWeights& norm) const {
  const at::Tensor out = NormByKernel(values, bias, residual, norm);
  return out.defined() ? out : PortableBackend::AddBiasResidualNorm(values, bias, residual, norm);
}

at::Tensor KernelBackend::Embed(const EmbeddingTables& tables, const EmbeddingRows& rows,
                                const NormWeights& norm) const {
  const at::ScalarType type = tables.words.scalar_type();
  const int64_t width = tables.words.size(1);
  const auto are_ids = [](const at::Tensor& ids) {
    return !ids.defined() || (ids.scalar_type() == at::kInt && ids.is_contiguous());
  };
  const bool takes = AreRows(tables.words) && IsBeside(tables.positions, type) &&
                     IsBeside(tables.types, type) && are_ids(rows.words) &&
                     are_ids(rows.positions) && are_ids(rows.types) && TakesNorm(norm, width);
  if (!takes) return PortableBackend::Embed(tables, rows, norm);
  at::Tensor out = at::empty({rows.words.size(0), width}, tables.words.options());
  const cuda::EmbedNormParams params{.ids = IdsOrNull(rows.words),
                                     .words = tables.words.const_data_ptr(),
                                     .word_scale = static_cast<float>(tables.word_scale),
                                     .positions = cuda::PointerOrNull(tables.positions),
                                     .position_ids = IdsOrNull(rows.positions),
                                     .types = cuda::PointerOrNull(tables.types),
                                     .type_ids = IdsOrNull(rows.types),
                                     .gamma = cuda::FloatsOrNull(norm.weight),
                                     .beta = cuda::FloatsOrNull(norm.bias),
                                     .epsilon = static_cast<float>(norm.eps),
                                     .out = out.mutable_data_ptr(),
                                     .rows = out.size(0),
                                     .width = static_cast<int>(width),
                                     .storage = cuda::StorageOf(out)};
  cuda::CheckLaunch(cuda::EmbedNorm(params, stream()), "EmbedNorm");
  return out;
}

void KernelBackend::Rotate(at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin,
                           const at::Tensor& positions) const {
  const bool takes = cuda::IsStored(qkv.scalar_type()) && qkv.is_contiguous() &&
                     cuda::IsAligned(qkv) && IsBeside(cos, at::kFloat) && IsBeside(sin, at::kFloat);
  if (!takes) return PortableBackend::Rotate(qkv, cos, sin, positions);
  const cuda::RotateParams params{.qkv = qkv.mutable_data_ptr(),
                                  .cos = cuda::FloatsOrNull(cos),
                                  .sin = cuda::FloatsOrNull(sin),
                                  .positions = positions.const_data_ptr<int64_t>(),
                                  .tokens = qkv.size(0),
                                  .heads = static_cast<int>(qkv.size(2)),
                                  .head_size = static_cast<int>(qkv.size(3)),
                                  .storage = cuda::StorageOf(qkv)};
  cuda::CheckLaunch(cuda::Rotate(params, stream()), "Rotate");
}

SegmentValues KernelBackend::ReduceSegments(const at::Tensor& rows,
                                            const Segments& segments) const {
  const bool is_float = rows.scalar_type() == at::kFloat;
  const bool takes = (is_float || cuda::IsStored(rows.scalar_type())) && rows.size(0) > 0 &&
                     rows.size(1) % 8 == 0 && rows.is_contiguous() && cuda::IsAligned(rows) &&
                     (!segments.read.defined() || segments.read.is_contiguous());
  if (!takes) return PortableBackend::ReduceSegments(rows, segments);
  const int64_t num_segments = segments.lengths.size(0), width = rows.size(1);
  at::Tensor offsets = at::zeros({num_segments + 1}, segments.lengths.options());
  at::Tensor ends = offsets.narrow(0, 1, num_segments);
  at::cumsum_out(ends, segments.lengths, 0);
  SegmentValues values;
  const auto wanted = [&](bool is_wanted, at::ScalarType type) {
    return is_wanted ? at::empty({num_segments, width}, rows.options().dtype(type)) : at::Tensor();
  };
  values.sum = wanted(segments.sum, at::kDouble);
  values.weighted_sum = wanted(segments.weights.defined(), at::kDouble);
  values.max = wanted(segments.max, at::kFloat);
  const auto doubles = [](const at::Tensor& x) {
    return x.defined() ? x.mutable_data_ptr<double>() : nullptr;
  };
  cuda::SegmentReduceParams params{
      .rows = rows.const_data_ptr(),
      .type = is_float                              ? cuda::RowType::kFloat32
              : rows.scalar_type() == at::kBFloat16 ? cuda::RowType::kBfloat16
                                                    : cuda::RowType::kFloat16,
      .offsets = offsets.const_data_ptr<int64_t>(),
      .weights = cuda::FloatsOrNull(segments.weights),
      .read = cuda::MaskOrNull(segments.read),
      .sum = doubles(values.sum),
      .weighted_sum = doubles(values.weighted_sum),
      .max = values.max.defined() ? values.max.mutable_data_ptr<float>() : nullptr,
      .num_rows = rows.size(0),
      .num_segments = static_cast<int32_t>(num_segments),
      .width = static_cast<int32_t>(width)};
  params.scratch_bytes = cuda::SegmentReduceScratch(params);
  const at::Tensor scratch =
      at::empty({static_cast<int64_t>(params.scratch_bytes)}, rows.options().dtype(at::kByte));
  params.scratch = scratch.mutable_data_ptr();
  cuda::CheckLaunch(cuda::SegmentReduce(params, stream()), "SegmentReduce");
  return values;
}

}  // namespace longspan
