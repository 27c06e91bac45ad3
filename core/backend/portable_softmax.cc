#include "core/backend/portable_softmax.h"

#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>

#include <limits>

namespace longspan {

AttentionPart Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& hidden, const at::Tensor& read, double scale) {
  constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
  const at::Tensor queries = q.to(at::kFloat).permute({1, 0, 2}).mul(scale);     // [H, m, D]
  at::Tensor scores = at::matmul(queries, k.to(at::kFloat).permute({1, 2, 0}));  // [H, m, n]
  at::Tensor values = v.to(at::kFloat);
  if (hidden.defined()) scores.masked_fill_(hidden, kMinusInfinity);
  if (read.defined()) {
    const at::Tensor unread = read.logical_not();
    scores.masked_fill_(unread, kMinusInfinity);
    values = values.masked_fill(unread.view({-1, 1, 1}), 0);  // 0 times NaN would be NaN
  }
  const at::Tensor lse = at::logsumexp(scores, {-1});  // [H, m]
  const at::Tensor base = lse.masked_fill(lse.isneginf(), 0).unsqueeze(-1);
  const at::Tensor p = scores.sub_(base).exp_();
  const at::Tensor out = at::matmul(p, values.permute({1, 0, 2}));  // [H, m, D]
  return {.out = out.permute({1, 0, 2}), .lse = lse};
}

}  // namespace longspan
