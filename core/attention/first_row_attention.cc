#include "core/attention/first_row_attention.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "core/backend/backend.h"
#include "core/kernels/key_mask.h"
#include "core/kernels/quantize.h"

namespace longspan {

namespace {

// Each row of a head as int8 scores see it: rounded to 8 bits under a scale of its own.
at::Tensor RoundTo8Bits(const at::Tensor& x) {
  const at::Tensor steps = x.abs().amax(-1, /*keepdim=*/true).div(127.0);
  return x.div(steps.clamp_min(kernels::kLeastQuantized / 127)).round_().mul_(steps);
}

}  // namespace

at::Tensor FirstRowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             std::span<const int32_t> cu_seqlens, std::span<const uint8_t> key_mask,
                             double scale, bool int8_scores, const Backend* backend) {
  if (backend != nullptr) return backend->FirstRows(q, k, v, cu_seqlens, key_mask, scale);
  const auto as_scored = [int8_scores](const at::Tensor& x) {
    return int8_scores ? RoundTo8Bits(x.to(at::kFloat)) : x.to(at::kFloat);
  };
  const int64_t num_texts = static_cast<int64_t>(cu_seqlens.size()) - 1;
  at::Tensor out = at::zeros({num_texts, q.size(1), q.size(2)}, q.options());
  for (int64_t i = 0; i < num_texts; ++i) {
    const int64_t begin = cu_seqlens[i], end = cu_seqlens[i + 1];
    if (begin == end || (!key_mask.empty() && key_mask[begin] == 0)) continue;
    const at::Tensor query = as_scored(q.select(0, begin)).mul(scale).unsqueeze(1);  // [H, 1, D]
    const at::Tensor keys = as_scored(k.slice(0, begin, end)).permute({1, 2, 0});    // [H, D, J]
    at::Tensor scores = at::matmul(query, keys);                                     // [H, 1, J]
    if (!key_mask.empty()) {
      const at::Tensor read =
          at::from_blob(const_cast<uint8_t*>(key_mask.data()) + begin, {end - begin}, at::kByte);
      scores.masked_fill_(
          read.eq(int64_t{kernels::kNotRead}).logical_or_(read.eq(int64_t{kernels::kUnseen})),
          -std::numeric_limits<float>::infinity());
    }
    const at::Tensor values =
        v.slice(0, begin, end).to(at::kFloat).permute({1, 0, 2});  // [H, J, D]
    out.select(0, i).copy_(at::matmul(at::softmax(scores, -1), values).squeeze(1));
  }
  return out;
}

}  // namespace longspan
