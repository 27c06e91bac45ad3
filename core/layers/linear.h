// Linear: y = activation(x W^T + b) with weights packed once at load: float32, bfloat16 and int8
// through LibTorch's own oneDNN, float32 on processors with AVX2 alone through
// kernels/packed_gemm.h. Thread safe after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/kernels/activation.h"
#include "core/kernels/cpu_features.h"
#include "core/model_info.h"

namespace longspan {

// hidden_act of the configs.
using kernels::Activation;
// INVALID_ARGUMENT names the ones known.
absl::StatusOr<Activation> ParseActivation(std::string_view hidden_act);
// In place.
void ApplyActivation(Activation activation, at::Tensor& x);

// FAILED_PRECONDITION where this processor lacks the instructions that the type needs (bfloat16:
// AVX512-BF16, int8: AVX512-VNNI or AVX2): emulated, bfloat16 is many times slower than float32,
// and int8 gains nothing. For Encoder::Load.
absl::Status CheckDataTypeSupported(
    DataType dtype, const kernels::CpuFeatures& features = kernels::GetCpuFeatures());
// What `auto` means: bfloat16 where this processor has it, else float32.
DataType FastestAccurateDataType();

class QuantizedLinear;

class Linear {
 public:
  Linear() = default;
  // weight [out, in] float32; bias [out] float32 or undefined.
  Linear(const at::Tensor& weight, const at::Tensor& bias, DataType dtype,
         Activation activation = Activation::kNone);

  // x [M, in] float32 or bfloat16 -> [M, out] of x's type, or of the type asked for.
  at::Tensor operator()(const at::Tensor& x) const { return (*this)(x, x.scalar_type()); }
  at::Tensor operator()(const at::Tensor& x, at::ScalarType out_type) const;

  int64_t out_features() const { return out_features_; }
  Activation activation() const { return activation_; }
  bool defined() const { return out_features_ > 0; }
  // The int8 form, so that neighbours hand over rows without going through floats; null in the
  // other types.
  const QuantizedLinear* quantized() const { return quantized_.get(); }

 private:
  at::Tensor RunPackedGemm(const at::Tensor& x) const;

  int64_t in_features_ = 0;
  int64_t out_features_ = 0;
  DataType dtype_ = DataType::kFloat32;
  Activation activation_ = Activation::kNone;
  bool uses_packed_gemm_ = false;
  at::Tensor packed_;  // float32 and bfloat16: oneDNN's, or [panels, in, 16] of PackGemmWeight
  at::Tensor bias_;
  std::shared_ptr<const QuantizedLinear> quantized_;  // int8
};

}  // namespace longspan
