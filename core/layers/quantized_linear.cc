// The product is oneDNN's u8 x s8 matmul (brg_matmul:avx512_core_vnni), reached through LibTorch's
// dispatcher. On processors with AVX2 but without AVX-512 it is core/kernels/packed_gemm.h, which
// applies scales, bias and activation in its tiles.
//
// oneDNN has two traps:
//   - Activations of s8 fall to a reference loop that is five thousand times slower. So activations
//     are always u8, with 128 as the zero point.
//   - Given that zero point, oneDNN would sum the columns of the weight again on every call. So it
//     is passed as 0. Its contribution, 128 times the sum of a column, is computed once at load and
//     taken away after the product (core/kernels/quantize.h).
// Example: x = [160 1 192] with W = [1 2 3] gives 160 + 2 + 576 = 738; less 128 · 6 = 768 that is
// -30, and indeed (32)·1 + (-127)·2 + (64)·3 = -30.
//
// Cost 2·M·in·out integer operations. Proven by quantized_linear_test; that no reference loop runs
// is proven by onednn_implementation_test.
#include "core/layers/quantized_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "core/kernels/cpu_features.h"
#include "core/kernels/packed_gemm.h"
#include "core/layers/element_type_of.h"
#include "core/layers/product_rows.h"

namespace longspan {
namespace {

// Float rows that are quantised and multiplied at a time. The accumulators of 512 x 3072 floats
// stay in the last-level cache until they are read.
constexpr int64_t kQuantizedBlockRows = 512;

using Prepack = at::Tensor(at::Tensor, std::optional<c10::List<int64_t>>);
using Pointwise = at::Tensor(at::Tensor, double, int64_t, at::Tensor, at::Tensor, at::Tensor,
                             std::optional<at::Tensor>, double, int64_t,
                             std::optional<at::ScalarType>, std::string_view,
                             c10::List<std::optional<at::Scalar>>, std::string_view);

kernels::DequantizeParams ParamsFor(const kernels::Accumulators& main, const at::Tensor& scales,
                                    kernels::Activation activation,
                                    const at::Tensor& accumulators) {
  kernels::DequantizeParams params;
  params.main = main;
  params.scales = scales.const_data_ptr<float>();
  params.activation = activation;
  params.rows = accumulators.size(0);
  params.width = accumulators.size(1);
  return params;
}

}  // namespace

QuantizedRows EmptyQuantizedRows(int64_t rows, int64_t width) {
  return {at::empty({ProductRows(rows), width}, at::kByte).narrow(0, 0, rows),
          at::empty({rows}, at::kFloat)};
}

QuantizedRows QuantizeRows(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 2 && x.is_contiguous(), "quantisation takes contiguous rows, got ",
              x.sizes());
  QuantizedRows rows = EmptyQuantizedRows(x.size(0), x.size(1));
  kernels::QuantizeRows({.x = x.const_data_ptr(),
                         .x_type = ElementTypeOf(x),
                         .q = rows.values.mutable_data_ptr<uint8_t>(),
                         .scales = rows.scales.mutable_data_ptr<float>(),
                         .rows = x.size(0),
                         .width = x.size(1)});
  return rows;
}

namespace {

// g++ 12 warns that the list in an empty optional may be read, which it is not.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
at::Tensor PackWeight(const at::Tensor& weight) {
  static const auto prepack = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("onednn::qlinear_prepack", "")
                                  .typed<Prepack>();
  return prepack.call(weight, std::nullopt);
}
#pragma GCC diagnostic pop

}  // namespace

QuantizedWeight QuantizeWeight(const at::Tensor& weight) {
  const at::Tensor w = weight.to(at::kFloat);
  const at::Tensor scales = w.abs().amax(1).div(127.0);  // [out]
  // A channel of zeros stays zero.
  const at::Tensor nonzero = at::where(scales.gt(0), scales, at::ones_like(scales));
  return {w.div(nonzero.unsqueeze(1)).round_().to(at::kChar).contiguous(), nonzero};
}

QuantizedWeight NarrowWeight(const QuantizedWeight& weight) {
  constexpr double kNarrower = 63.0 / 127.0;
  return {weight.values.to(at::kFloat).mul_(kNarrower).round_().to(at::kChar),
          weight.scales.div(kNarrower)};
}

QuantizedLinear::QuantizedLinear(const at::Tensor& weight, const at::Tensor& bias)
    : in_features_(weight.size(1)),
      out_features_(weight.size(0)),
      uses_packed_gemm_(kernels::PackedGemmIsFastest()) {
  QuantizedWeight quantized = QuantizeWeight(weight);
  if (!kernels::GetCpuFeatures().avx512_vnni) quantized = NarrowWeight(quantized);
  weight_scales_ = quantized.scales;
  if (bias.defined()) bias_ = bias.to(at::kFloat).contiguous();
  // What the 128 of the activations contributes to each column.
  const at::Tensor zero_point = quantized.values.to(at::kInt).sum(1).mul_(128);
  if (uses_packed_gemm_) {
    offset_ = zero_point.neg().to(at::kInt);
    packed_ = at::empty({kernels::PackedInt8GemmBytes(out_features_, in_features_)}, at::kChar);
    kernels::PackInt8GemmWeight(quantized.values.const_data_ptr<int8_t>(), out_features_,
                                in_features_, packed_.mutable_data_ptr<int8_t>());
    return;
  }
  offset_ = zero_point.to(at::kFloat).mul_(weight_scales_);
  weight_zero_points_ = at::zeros({weight.size(0)}, at::kLong);
  packed_ = PackWeight(quantized.values);  // takes [out, in] and transposes it
}

at::Tensor QuantizedLinear::Accumulate(const QuantizedRows& x) const {
  static const auto pointwise = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("onednn::qlinear_pointwise", "")
                                    .typed<Pointwise>();
  // The rows that are multiplied: those of x and what lies behind them in memory.
  const int64_t width = x.values.size(1);
  const int64_t end = (x.values.storage_offset() + ProductRows(x.values.size(0)) * width);
  const bool has_room = end <= static_cast<int64_t>(x.values.storage().nbytes());
  const at::Tensor values =
      has_room ? x.values.as_strided({ProductRows(x.values.size(0)), width}, {width, 1}) : x.values;
  const at::Tensor accumulators =
      pointwise.call(values, /*x_scale=*/1.0, /*x_zero_point=*/0, packed_, weight_scales_,
                     weight_zero_points_, std::nullopt,
                     /*output_scale=*/1.0, /*output_zero_point=*/0, at::kFloat, "none",
                     c10::List<std::optional<at::Scalar>>(), "");
  return accumulators.narrow(0, 0, x.values.size(0));
}

kernels::Accumulators QuantizedLinear::View(const at::Tensor& accumulators) const {
  return {.acc = accumulators.const_data_ptr<float>(),
          .offset = offset_.const_data_ptr<float>(),
          .bias = bias_.defined() ? bias_.const_data_ptr<float>() : nullptr};
}

void QuantizedLinear::RunPackedGemm(const QuantizedRows& x, kernels::Activation activation,
                                    at::Tensor& out) const {
  kernels::PackedInt8Gemm({.x = x.values.const_data_ptr<uint8_t>(),
                           .x_scales = x.scales.const_data_ptr<float>(),
                           .packed = packed_.const_data_ptr<int8_t>(),
                           .offsets = offset_.const_data_ptr<int32_t>(),
                           .w_scales = weight_scales_.const_data_ptr<float>(),
                           .bias = bias_.defined() ? bias_.const_data_ptr<float>() : nullptr,
                           .activation = activation,
                           .y = out.mutable_data_ptr<float>(),
                           .rows = x.values.size(0),
                           .k = in_features_,
                           .n = out_features_});
}

at::Tensor QuantizedLinear::Packed(const QuantizedRows& x, kernels::Activation activation) const {
  at::Tensor out = at::empty({x.values.size(0), out_features_}, at::kFloat);
  RunPackedGemm(x, activation, out);
  return out;
}

void QuantizedLinear::Run(const QuantizedRows& x, kernels::Activation activation,
                          at::Tensor& out) const {
  if (uses_packed_gemm_) {
    if (out.scalar_type() == at::kFloat && out.is_contiguous())
      return RunPackedGemm(x, activation, out);
    out.copy_(Packed(x, activation));
    return;
  }
  const at::Tensor accumulators = Accumulate(x);
  kernels::DequantizeParams params =
      ParamsFor(View(accumulators), x.scales, activation, accumulators);
  params.out = out.data_ptr();
  params.out_type = ElementTypeOf(out);
  kernels::DequantizeRows(params);
}

void QuantizedLinear::Run(const at::Tensor& x, kernels::Activation activation,
                          at::Tensor& out) const {
  for (int64_t first = 0; first < x.size(0); first += kQuantizedBlockRows) {
    const int64_t rows = std::min(kQuantizedBlockRows, x.size(0) - first);
    at::Tensor block = out.narrow(0, first, rows);
    Run(QuantizeRows(x.narrow(0, first, rows)), activation, block);
  }
}

QuantizedRows QuantizedLinear::RunQuantized(const QuantizedLinear& main,
                                            const QuantizedLinear* gate, const QuantizedRows& x,
                                            kernels::Activation activation) {
  if (main.uses_packed_gemm_) {
    at::Tensor out = main.Packed(x, activation);
    if (gate != nullptr) out.mul_(gate->Packed(x, kernels::Activation::kNone));
    return QuantizeRows(out);
  }
  const at::Tensor accumulators = main.Accumulate(x);
  const at::Tensor gate_accumulators = gate != nullptr ? gate->Accumulate(x) : at::Tensor();
  QuantizedRows rows = EmptyQuantizedRows(accumulators.size(0), accumulators.size(1));
  kernels::DequantizeParams params =
      ParamsFor(main.View(accumulators), x.scales, activation, accumulators);
  if (gate != nullptr) params.gate = gate->View(gate_accumulators);
  params.q = rows.values.mutable_data_ptr<uint8_t>();
  params.q_scales = rows.scales.mutable_data_ptr<float>();
  kernels::DequantizeRows(params);
  return rows;
}

}  // namespace longspan
