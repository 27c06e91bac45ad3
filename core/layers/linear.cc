// Products with packed weights, through the oneDNN that is inside LibTorch. Its symbols are hidden,
// but LibTorch has operators that reach it. `mkldnn::_reorder_linear_weight` brings a weight into
// oneDNN's blocked layout once. `mkldnn::_linear_pointwise` multiplies by it, and applies bias and
// activation while a tile is still in registers. at::linear would hand plain weights to MKL, which
// packs them anew on every call.
//   Example, 768 -> 3072, 2 Zen 4 cores: at::linear 111 GFLOP/s at 64 rows, packed 206, packed with
//   GELU 200.
// The layout does not depend on the number of rows that the weight is packed for (measured from 1
// to 4,096), so weights are packed once, for 512 rows. oneDNN sets up a primitive the first time
// that it sees a shape, which takes about a millisecond, and caches it after that;
// core/layers/product_rows.h keeps the shapes few.
// oneDNN packs float32 for AVX-512 alone; core/kernels/packed_gemm.h does it for AVX2.
// Cost 2·M·in·out floating-point operations. Proven by linear_test; that no slow reference loop of
// oneDNN runs is proven by onednn_implementation_test.
#include "core/layers/linear.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/backend/backend.h"
#include "core/kernels/cpu_features.h"
#include "core/kernels/packed_gemm.h"
#include "core/layers/product_rows.h"
#include "core/layers/quantized_linear.h"

namespace longspan {
namespace {

constexpr int64_t kPackedForRows = 512;  // any number gives the same layout

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, std::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);
using ReorderLinearWeight = at::Tensor(const at::Tensor&, std::optional<int64_t>);

template <typename Signature>
c10::TypedOperatorHandle<Signature> FindOperator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

// oneDNN's post-op and its algorithm for each activation.
std::pair<std::string_view, std::string_view> PostOp(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return {"none", ""};
    case Activation::kGelu:
      return {"gelu", "none"};
    case Activation::kGeluTanh:
      return {"gelu", "tanh"};
    case Activation::kRelu:
      return {"relu", ""};
    case Activation::kSilu:
      return {"swish", ""};
    case Activation::kTanh:
      return {"tanh", ""};
  }
  return {"none", ""};
}

// x [M, K] as contiguous rows of `type`, followed by zeros up to ProductRows(M).
at::Tensor WithProductRows(const at::Tensor& x, at::ScalarType type) {
  const int64_t rows = x.size(0);
  const int64_t padded_rows = ProductRows(rows);
  if (padded_rows == rows) return x.to(type).contiguous();
  at::Tensor padded = at::empty({padded_rows, x.size(1)}, type);
  padded.narrow(0, 0, rows).copy_(x);
  padded.narrow(0, rows, padded_rows - rows).zero_();
  return padded;
}

at::Tensor PackedLinear(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                        Activation activation) {
  static const auto op = FindOperator<LinearPointwise>("mkldnn::_linear_pointwise");
  const auto [post_op, algorithm] = PostOp(activation);
  const std::optional<at::Tensor> optional_bias =
      bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  return op.call(x, packed, optional_bias, post_op, c10::List<std::optional<at::Scalar>>(),
                 algorithm);
}

}  // namespace

absl::StatusOr<Activation> ParseActivation(std::string_view hidden_act) {
  if (hidden_act == "gelu" || hidden_act == "gelu_python") return Activation::kGelu;
  if (hidden_act == "gelu_new" || hidden_act == "gelu_pytorch_tanh" || hidden_act == "gelu_fast")
    return Activation::kGeluTanh;
  if (hidden_act == "relu") return Activation::kRelu;
  if (hidden_act == "silu" || hidden_act == "swish") return Activation::kSilu;
  if (hidden_act == "tanh") return Activation::kTanh;
  if (hidden_act == "linear") return Activation::kNone;
  return absl::InvalidArgumentError(
      absl::StrCat("hidden_act is '", absl::string_view(hidden_act.data(), hidden_act.size()),
                   "'; known: gelu, gelu_python, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, "
                   "silu, swish, tanh, linear"));
}

// Why AVX2 is enough for int8: on 2 Zen 3 cores, with the embedded model in batches of 2,048
// tokens, it makes 1.5 times the tokens a second of float32 with texts of 128 tokens, and 1.4 times
// with 512. Pooled vectors have a cosine of at least 0.992 with those of float32, and the top 10
// overlap by 91.8 % (data_type_test).
absl::Status CheckDataTypeSupported(DataType dtype, const kernels::CpuFeatures& features) {
  if (dtype == DataType::kBFloat16 && !features.avx512_bf16)
    return absl::FailedPreconditionError(
        "dtype bfloat16 needs a processor with AVX512_BF16, which this one lacks; use float32");
  if (dtype == DataType::kInt8 && !features.avx512_vnni && !features.avx2)
    return absl::FailedPreconditionError(
        "dtype int8 needs a processor with AVX512_VNNI or AVX2, and this one has neither; use "
        "float32");
  if (dtype == DataType::kFloat16)
    return absl::FailedPreconditionError(
        "dtype float16 needs a GPU (device cuda); use float32 or bfloat16 on a processor");
  return absl::OkStatus();
}

DataType FastestAccurateDataType() {
  return CheckDataTypeSupported(DataType::kBFloat16).ok() ? DataType::kBFloat16
                                                          : DataType::kFloat32;
}

at::ScalarType RowType(DataType dtype, const kernels::CpuFeatures& features) {
  const bool is_bfloat16 =
      dtype == DataType::kBFloat16 || (dtype == DataType::kInt8 && features.bfloat16_rows);
  return is_bfloat16 ? at::kBFloat16 : at::kFloat;
}

bool HasInt8Scores(DataType dtype, const kernels::CpuFeatures& features) {
  return dtype == DataType::kInt8 && RowType(dtype, features) == at::kBFloat16 &&
         features.avx512_vnni;
}

Linear::Linear(const at::Tensor& weight, const at::Tensor& bias, const Placement& placement,
               Activation activation)
    : in_features_(weight.size(1)),
      out_features_(weight.size(0)),
      placement_(placement),
      activation_(activation) {
  if (placement.backend != nullptr) {
    packed_ = placement.Store(weight, placement.row_type());
    bias_ = placement.Store(bias, placement.row_type());
    return;
  }
  const DataType dtype = placement.dtype;
  static const auto reorder = FindOperator<ReorderLinearWeight>("mkldnn::_reorder_linear_weight");
  if (dtype == DataType::kInt8) {
    quantized_ = std::make_shared<QuantizedLinear>(weight, bias);
    return;
  }
  const at::ScalarType type = dtype == DataType::kBFloat16 ? at::kBFloat16 : at::kFloat;
  uses_packed_gemm_ = dtype == DataType::kFloat32 && kernels::PackedGemmIsFastest();
  if (uses_packed_gemm_) {
    packed_ = at::empty({kernels::PackedGemmFloats(out_features_, in_features_)}, at::kFloat);
    kernels::PackGemmWeight(weight.to(type).contiguous().const_data_ptr<float>(), out_features_,
                            in_features_, packed_.mutable_data_ptr<float>());
  } else {
    packed_ = reorder.call(weight.to(type).contiguous(), kPackedForRows);
  }
  if (bias.defined()) bias_ = bias.to(type).contiguous();
}

at::Tensor Linear::RunPackedGemm(const at::Tensor& x) const {
  const at::Tensor rows = x.stride(1) == 1 ? x : x.contiguous();
  at::Tensor y = at::empty({x.size(0), out_features_}, at::kFloat);
  kernels::PackedGemm({.x = rows.const_data_ptr<float>(),
                       .x_stride = rows.stride(0),
                       .packed = packed_.const_data_ptr<float>(),
                       .bias = bias_.defined() ? bias_.const_data_ptr<float>() : nullptr,
                       .activation = activation_,
                       .y = y.mutable_data_ptr<float>(),
                       .rows = x.size(0),
                       .k = in_features_,
                       .n = out_features_});
  return y;
}

at::Tensor Linear::operator()(const at::Tensor& x, at::ScalarType out_type) const {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == in_features_, "Linear takes [M, ", in_features_,
              "], got ", x.sizes());
  if (placement_.backend != nullptr)
    return placement_.backend->Product(x, packed_, bias_, activation_).to(out_type);
  if (x.size(0) == 0) return at::empty({0, out_features_}, out_type);
  if (FirstProductRows(x.size(0)) < x.size(0)) {
    at::Tensor y = at::empty({x.size(0), out_features_}, out_type);
    Run(x, y);
    return y;
  }
  if (quantized_ != nullptr) {
    at::Tensor y = at::empty({x.size(0), out_features_}, out_type);
    quantized_->Run(x.contiguous(), activation_, y);
    return y;
  }
  const at::ScalarType type = placement_.dtype == DataType::kBFloat16 ? at::kBFloat16 : at::kFloat;
  if (uses_packed_gemm_) return RunPackedGemm(x.to(type)).to(out_type);
  const at::Tensor y = PackedLinear(WithProductRows(x, type), packed_, bias_, activation_);
  return y.narrow(0, 0, x.size(0)).to(out_type);
}

at::Tensor Linear::ProductAlone(const at::Tensor& x) const {
  TORCH_CHECK(placement_.backend != nullptr, "a product without its bias is for backends");
  return placement_.backend->Product(x, packed_, /*bias=*/{}, Activation::kNone);
}

void Linear::Run(const at::Tensor& x, at::Tensor& out) const {
  if (placement_.backend != nullptr) {
    out.copy_((*this)(x));
    return;
  }
  const int64_t rows = x.size(0), first = FirstProductRows(rows);
  if (first < rows) {
    at::Tensor first_out = out.narrow(0, 0, first), rest_out = out.narrow(0, first, rows - first);
    Run(x.narrow(0, 0, first), first_out);
    return Run(x.narrow(0, first, rows - first), rest_out);
  }
  if (quantized_ != nullptr && x.size(0) > 0) {
    quantized_->Run(x.contiguous(), activation_, out);
  } else {
    out.copy_((*this)(x, out.scalar_type()));
  }
}

}  // namespace longspan
