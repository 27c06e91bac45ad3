// Linear: y = activation(x W^T + b), with weights that are packed once at load. The products run
// through the oneDNN that is inside LibTorch; on processors with AVX2 but without AVX-512, float32
// and int8 run through core/kernels/packed_gemm.h. linear.cc and quantized_linear.cc say how. On a
// backend (placement.h) they are its Product.
// Thread safe after construction. Proven by linear_test and quantized_linear_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/apply_activation.h"
#include "core/kernels/activation.h"
#include "core/kernels/cpu_features.h"
#include "core/layers/placement.h"
#include "core/model_info.h"

namespace longspan {

using kernels::Activation;
// The activation that a config's hidden_act names. INVALID_ARGUMENT names the known ones.
absl::StatusOr<Activation> ParseActivation(std::string_view hidden_act);

// FAILED_PRECONDITION where the processor lacks the instructions that the type needs: AVX512-BF16
// for bfloat16, AVX512-VNNI or AVX2 for int8. Without them bfloat16 would be many times slower than
// float32, and int8 would gain nothing. No processor is served in float16.
absl::Status CheckDataTypeSupported(
    DataType dtype, const kernels::CpuFeatures& features = kernels::GetCpuFeatures());
// bfloat16 where this processor has it, else float32. This is what the dtype "auto" means for a
// folder without int8 weights.
DataType FastestAccurateDataType();

// The type of a model's rows: what goes into and comes out of its linear layers, and the hidden
// states, queries, keys and values between them. bfloat16 in a bfloat16 model, and in an int8 model
// on processors with AVX512_BF16; else float32. It costs int8 little, because its products are good
// to about eight bits, which is what bfloat16 holds.
at::ScalarType RowType(DataType dtype,
                       const kernels::CpuFeatures& features = kernels::GetCpuFeatures());
// Whether attention computes its scores from queries and keys that are rounded to 8 bits
// (core/kernels/row_attention.h): in an int8 model with rows of bfloat16, where the processor has
// AVX512_VNNI.
bool HasInt8Scores(DataType dtype,
                   const kernels::CpuFeatures& features = kernels::GetCpuFeatures());

class QuantizedLinear;

class Linear {
 public:
  Linear() = default;
  // weight [out, in] float32; bias [out] float32 or undefined. On the CPU the dtype must be
  // supported (CheckDataTypeSupported).
  Linear(const at::Tensor& weight, const at::Tensor& bias, const Placement& placement,
         Activation activation = Activation::kNone);

  // x [M, in] float32 or bfloat16 -> [M, out] of x's type, or of out_type.
  at::Tensor operator()(const at::Tensor& x) const { return (*this)(x, x.scalar_type()); }
  at::Tensor operator()(const at::Tensor& x, at::ScalarType out_type) const;
  // The same, written to `out` [M, out], contiguous, of its type.
  void Run(const at::Tensor& x, at::Tensor& out) const;

  int64_t out_features() const { return out_features_; }
  Activation activation() const { return activation_; }
  bool defined() const { return out_features_ > 0; }
  // On a backend: x W^T alone, for an operation that adds the bias along with something else; and
  // that bias, [out] or undefined.
  at::Tensor ProductAlone(const at::Tensor& x) const;
  const at::Tensor& bias() const { return bias_; }
  // The int8 form, so that one layer can hand u8 rows to the next without going through floats.
  // Null in the other types and on a backend.
  const QuantizedLinear* quantized() const { return quantized_.get(); }

 private:
  at::Tensor RunPackedGemm(const at::Tensor& x) const;

  int64_t in_features_ = 0;
  int64_t out_features_ = 0;
  Placement placement_;
  Activation activation_ = Activation::kNone;
  bool uses_packed_gemm_ = false;
  // float32 and bfloat16: oneDNN's layout, or that of PackGemmWeight; on a backend [out, in].
  at::Tensor packed_;
  at::Tensor bias_;                                   // [out], or undefined; unused in int8
  std::shared_ptr<const QuantizedLinear> quantized_;  // int8; else null
};

}  // namespace longspan
