#include "core/attention/first_row_attention.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <limits>

namespace longspan {

at::Tensor FirstRowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             std::span<const int32_t> cu_seqlens, std::span<const uint8_t> key_mask,
                             double scale) {
  const int64_t num_texts = static_cast<int64_t>(cu_seqlens.size()) - 1;
  at::Tensor out = at::zeros({num_texts, q.size(1), q.size(2)}, q.options());
  for (int64_t i = 0; i < num_texts; ++i) {
    const int64_t begin = cu_seqlens[i], end = cu_seqlens[i + 1];
    if (begin == end || (!key_mask.empty() && key_mask[begin] == 0)) continue;
    const at::Tensor query =
        q.select(0, begin).to(at::kFloat).mul(scale).unsqueeze(1);                     // [H, 1, D]
    const at::Tensor keys = k.slice(0, begin, end).to(at::kFloat).permute({1, 2, 0});  // [H, D, J]
    at::Tensor scores = at::matmul(query, keys);                                       // [H, 1, J]
    if (!key_mask.empty()) {
      const at::Tensor read =
          at::from_blob(const_cast<uint8_t*>(key_mask.data()) + begin, {end - begin}, at::kByte);
      scores.masked_fill_(read.eq(0), -std::numeric_limits<float>::infinity());
    }
    const at::Tensor values =
        v.slice(0, begin, end).to(at::kFloat).permute({1, 0, 2});  // [H, J, D]
    out.select(0, i).copy_(at::matmul(at::softmax(scores, -1), values).squeeze(1));
  }
  return out;
}

}  // namespace longspan
