#include "core/attention/sliding_window_attention.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include "core/kernels/sliding_window_attention.h"

namespace longspan {

at::Tensor SlidingWindowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const PackedLayout& layout,
                                  double scale, at::Tensor* lse) {
  TORCH_CHECK(q.dim() == 3 && k.sizes() == q.sizes() && v.sizes() == q.sizes(),
              "attention takes q, k, v of one shape [T, H, D], got ", q.sizes(), " ", k.sizes(), " ", v.sizes());
  const int64_t tokens = q.size(0), heads = q.size(1), head_size = q.size(2);
  for (const at::Tensor* x : {&q, &k, &v}) {
    TORCH_CHECK(x->scalar_type() == q.scalar_type() && (x->scalar_type() == at::kFloat || x->scalar_type() == at::kBFloat16),
                "attention takes float32 or bfloat16, all alike");
    TORCH_CHECK(x->device().is_cpu(), "attention runs on cpu tensors, got ", x->device());
    TORCH_CHECK((head_size == 1 || x->stride(2) == 1) && (heads == 1 || x->stride(1) == head_size),
                "attention takes heads that lie side by side, got strides ", x->strides());
  }
  TORCH_CHECK(
      !layout.cu_seqlens.empty() && layout.cu_seqlens.back() == tokens && layout.windows.size() + 1 == layout.cu_seqlens.size(),
      "the layout does not fit ", tokens, " tokens");
  TORCH_CHECK(layout.key_mask.empty() || static_cast<int64_t>(layout.key_mask.size()) == tokens, "key_mask has ",
              layout.key_mask.size(), " entries for ", tokens, " tokens");
  TORCH_CHECK(layout.globals.empty() || layout.cu_globals.size() == layout.cu_seqlens.size(), "cu_globals has ",
              layout.cu_globals.size(), " entries, cu_seqlens ", layout.cu_seqlens.size());
  at::Tensor out = at::empty({tokens, heads, head_size}, q.options());
  if (lse) *lse = at::empty({tokens, heads}, q.options().dtype(at::kFloat));
  kernels::SlidingWindowAttentionParams params;
  params.type = q.scalar_type() == at::kFloat ? kernels::ElementType::kFloat32 : kernels::ElementType::kBFloat16;
  params.q = q.data_ptr();
  params.k = k.data_ptr();
  params.v = v.data_ptr();
  params.out = out.data_ptr();
  params.q_stride = q.stride(0);
  params.k_stride = k.stride(0);
  params.v_stride = v.stride(0);
  params.out_stride = out.stride(0);
  params.lse = lse ? lse->data_ptr<float>() : nullptr;
  params.num_heads = static_cast<int32_t>(heads);
  params.head_size = static_cast<int32_t>(head_size);
  params.scale = static_cast<float>(scale);
  params.num_texts = static_cast<int32_t>(layout.windows.size());
  params.cu_seqlens = layout.cu_seqlens.data();
  params.windows = layout.windows.data();
  params.globals = layout.globals.empty() ? nullptr : layout.globals.data();
  params.cu_globals = layout.globals.empty() ? nullptr : layout.cu_globals.data();
  params.key_mask = layout.key_mask.empty() ? nullptr : layout.key_mask.data();
  kernels::SlidingWindowAttention(params);
  return out;
}

}  // namespace longspan
