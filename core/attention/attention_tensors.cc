#include "core/attention/attention_tensors.h"

#include <c10/util/Exception.h>

#include "core/layers/element_type_of.h"

namespace longspan {
namespace {

void CheckShapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  TORCH_CHECK(q.dim() == 3 && k.sizes() == q.sizes() && v.sizes() == q.sizes(),
              "attention takes q, k, v of one shape [T, H, D], got ", q.sizes(), " ", k.sizes(),
              " ", v.sizes());
  const int64_t heads = q.size(1), head_size = q.size(2);
  for (const at::Tensor* x : {&q, &k, &v}) {
    TORCH_CHECK(x->device().is_cpu(), "attention runs on cpu tensors, got ", x->device());
    TORCH_CHECK(x->scalar_type() == q.scalar_type() &&
                    (x->scalar_type() == at::kFloat || x->scalar_type() == at::kBFloat16),
                "attention takes float32 or bfloat16, all alike, got ", x->scalar_type());
    TORCH_CHECK((head_size == 1 || x->stride(2) == 1) && (heads == 1 || x->stride(1) == head_size),
                "attention takes heads that lie side by side, got strides ", x->strides());
  }
}

}  // namespace

kernels::SlidingWindowAttentionParams AttentionTensors(const at::Tensor& q, const at::Tensor& k,
                                                       const at::Tensor& v, at::Tensor& out,
                                                       const PackedLayout& layout, double scale) {
  CheckShapes(q, k, v);
  const int64_t tokens = q.size(0);
  TORCH_CHECK(!layout.cu_seqlens.empty() && layout.cu_seqlens.back() == tokens,
              "the layout does not fit ", tokens, " tokens");
  TORCH_CHECK(layout.key_mask.empty() || static_cast<int64_t>(layout.key_mask.size()) == tokens,
              "key_mask has ", layout.key_mask.size(), " entries for ", tokens, " tokens");
  kernels::SlidingWindowAttentionParams params;
  params.type = ElementTypeOf(q);
  params.q = q.data_ptr();
  params.k = k.data_ptr();
  params.v = v.data_ptr();
  params.out = out.data_ptr();
  params.q_stride = q.stride(0);
  params.k_stride = k.stride(0);
  params.v_stride = v.stride(0);
  params.out_stride = out.stride(0);
  params.num_heads = static_cast<int32_t>(q.size(1));
  params.head_size = static_cast<int32_t>(q.size(2));
  params.scale = static_cast<float>(scale);
  params.num_texts = static_cast<int32_t>(layout.cu_seqlens.size()) - 1;
  params.cu_seqlens = layout.cu_seqlens.data();
  params.key_mask = layout.key_mask.empty() ? nullptr : layout.key_mask.data();
  return params;
}

}  // namespace longspan
