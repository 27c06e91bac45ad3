#include "core/attention/sliding_window_attention.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include "core/attention/attention_observer.h"
#include "core/attention/attention_tensors.h"
#include "core/backend/backend.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan {

at::Tensor SlidingWindowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const PackedLayout& layout, double scale, bool int8_scores,
                                  at::Tensor* lse) {
  TORCH_CHECK(layout.windows.size() + 1 == layout.cu_seqlens.size(), "the layout has ",
              layout.windows.size(), " windows for ", layout.cu_seqlens.size(),
              " borders of texts");
  TORCH_CHECK(layout.globals.empty() || layout.cu_globals.size() == layout.cu_seqlens.size(),
              "the layout has ", layout.cu_globals.size(), " borders of globals for ",
              layout.cu_seqlens.size(), " borders of texts");
  if (layout.device != nullptr) {
    TORCH_CHECK(lse == nullptr, "a backend gives no logsumexp of the whole attention");
    return layout.device->backend->WindowAttention(q, k, v, *layout.device, scale);
  }
  at::Tensor out = at::empty(q.sizes(), q.options().memory_format(at::MemoryFormat::Contiguous));
  kernels::SlidingWindowAttentionParams params = AttentionTensors(q, k, v, out, layout, scale);
  params.int8_scores = int8_scores;
  if (lse) *lse = at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat));
  params.lse = lse ? lse->data_ptr<float>() : nullptr;
  params.windows = layout.windows.data();
  params.globals = layout.globals.empty() ? nullptr : layout.globals.data();
  params.cu_globals = layout.globals.empty() ? nullptr : layout.cu_globals.data();
  if (layout.observer)
    layout.observer->OnRowTasks(kernels::SlidingWindowTasks(params), layout.key_mask);
  kernels::SlidingWindowAttention(params);
  return out;
}

}  // namespace longspan
