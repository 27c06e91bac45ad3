#include "core/layers/layer_norm.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "core/kernels/layer_norm.h"
#include "core/layers/element_type_of.h"

namespace longspan {

LayerNorm::LayerNorm(const at::Tensor& weight, const at::Tensor& bias, double eps,
                     const Placement& placement)
    : backend_(placement.backend) {
  if (backend_ != nullptr) {
    weights_ = {.weight = placement.Store(weight, at::kFloat),
                .bias = placement.Store(bias, at::kFloat),
                .eps = eps};
    return;
  }
  weights_ = {.weight = weight.to(at::kFloat).contiguous(), .eps = eps};
  if (bias.defined()) weights_.bias = bias.to(at::kFloat).contiguous();
}

void LayerNorm::Run(const at::Tensor& x, const at::Tensor& residual, at::Tensor& out,
                    QuantizedRows* quantized) const {
  TORCH_CHECK(backend_ == nullptr, "LayerNorm::Run is for the CPU");
  TORCH_CHECK(x.dim() == 2 && x.size(1) == width(), "LayerNorm takes [T, ", width(), "], got ",
              x.sizes());
  TORCH_CHECK(x.is_contiguous() && out.is_contiguous() && out.sizes() == x.sizes(),
              "LayerNorm takes contiguous rows");
  kernels::LayerNormParams params;
  params.x = x.const_data_ptr();
  params.x_type = ElementTypeOf(x);
  if (residual.defined()) {
    TORCH_CHECK(residual.is_contiguous() && residual.sizes() == x.sizes(),
                "LayerNorm: residual is ", residual.sizes(), ", x is ", x.sizes());
    params.residual = residual.const_data_ptr();
    params.residual_type = ElementTypeOf(residual);
  }
  params.out = out.data_ptr();
  params.out_type = ElementTypeOf(out);
  if (quantized != nullptr) {
    *quantized = EmptyQuantizedRows(x.size(0), x.size(1));
    params.q = quantized->values.mutable_data_ptr<uint8_t>();
    params.q_scales = quantized->scales.mutable_data_ptr<float>();
  }
  params.weight = weights_.weight.const_data_ptr<float>();
  params.bias = weights_.bias.defined() ? weights_.bias.const_data_ptr<float>() : nullptr;
  params.rows = x.size(0);
  params.width = width();
  params.eps = static_cast<float>(weights_.eps);
  kernels::LayerNorm(params);
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  if (backend_ != nullptr) return backend_->Norm(x, weights_);
  const at::Tensor rows = x.contiguous();
  at::Tensor out = at::empty_like(rows);
  Run(rows, /*residual=*/{}, out);
  return out;
}

at::Tensor LayerNorm::AddNorm(const at::Tensor& x, const at::Tensor& residual,
                              QuantizedRows* quantized) const {
  if (backend_ != nullptr) return AddBiasNorm(x, /*bias=*/{}, residual);
  at::Tensor out = at::empty_like(residual);
  Run(x.contiguous(), residual, out, quantized);
  return out;
}

at::Tensor LayerNorm::AddBiasNorm(const at::Tensor& values, const at::Tensor& bias,
                                  const at::Tensor& residual) const {
  TORCH_CHECK(backend_ != nullptr, "a norm of a product and its bias is for backends");
  return backend_->AddBiasResidualNorm(values, bias, residual, weights_);
}

QuantizedRows LayerNorm::NormQuantized(const at::Tensor& x) const {
  const at::Tensor rows = x.contiguous();
  at::Tensor floats = at::empty_like(rows);
  QuantizedRows quantized;
  Run(rows, /*residual=*/{}, floats, &quantized);
  return quantized;
}

}  // namespace longspan
