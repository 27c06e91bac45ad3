#include "core/attention/block_sparse_attention.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include "core/attention/attention_observer.h"
#include "core/attention/attention_tensors.h"
#include "core/kernels/block_sparse_attention.h"

namespace longspan {

at::Tensor BlockSparseAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const PackedLayout& layout, const BlockSparsePattern& pattern,
                                double scale, bool int8_scores) {
  TORCH_CHECK(pattern.block_size >= 1 && pattern.random_blocks >= 0,
              "block-sparse attention takes block_size >= 1, got ", pattern.block_size,
              ", and random_blocks >= 0, got ", pattern.random_blocks);
  for (size_t text = 0; text + 1 < layout.cu_seqlens.size(); ++text) {
    const int64_t length = layout.cu_seqlens[text + 1] - layout.cu_seqlens[text];
    TORCH_CHECK(length % pattern.block_size == 0 && length >= 2 * pattern.block_size,
                "block-sparse attention takes texts of whole blocks of ", pattern.block_size,
                ", at least two, got ", length, " tokens");
  }
  if (layout.device != nullptr) {
    const DeviceLayout& device = *layout.device;
    TORCH_CHECK(device.runs.size() == 1, "block-sparse attention takes one run of texts, got ",
                device.runs.size());
    return device.backend->BlockSparse(q, k, v, device.runs.front(), pattern, scale);
  }
  at::Tensor out = at::empty(q.sizes(), q.options().memory_format(at::MemoryFormat::Contiguous));
  kernels::BlockSparseAttentionParams params;
  params.tensors = AttentionTensors(q, k, v, out, layout, scale);
  params.tensors.int8_scores = int8_scores;
  params.block_size = static_cast<int32_t>(pattern.block_size);
  params.random_blocks = static_cast<int32_t>(pattern.random_blocks);
  if (layout.observer)
    layout.observer->OnRowTasks(kernels::MakeBlockSparseTasks(params).tasks, layout.key_mask);
  kernels::BlockSparseAttention(params);
  return out;
}

}  // namespace longspan
