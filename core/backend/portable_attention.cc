// Attention out of matrix products: the scores of a block of rows, their softmax, the sum of
// values. Scores of keys that a row does not see are -inf before the softmax. A row without any key
// would then divide 0 by 0; the place of its logsumexp is taken by 0, so that all of its terms are
// zeros.
//
// A block of a band reads the keys from the first row's window to the last one's:
//
//   text of 12 tokens, W = 2, block of rows 4 ... 7:  keys 2 ... 9, of which row 4 sees 2 ... 6
//
// Proven by backend_attention_test.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/segment_reduce.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/backend/portable_backend.h"
#include "core/backend/portable_softmax.h"
#include "core/kernels/key_mask.h"

namespace longspan {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Most rows of a block of a band; fewer than two windows of them would read most keys twice.
constexpr int64_t kBandRows = 256;
constexpr int64_t kMostBandRows = 2048;

at::Tensor Range(int64_t begin, int64_t end, const at::Tensor& like) {
  return at::arange(begin, end, like.options().dtype(at::kLong));
}

// Nothing seen yet by any row.
AttentionPart NothingSeen(const at::Tensor& q) {
  return {.out = at::zeros(q.sizes(), q.options().dtype(at::kFloat)),
          .lse = at::full({q.size(1), q.size(0)}, kMinusInfinity, q.options().dtype(at::kFloat))};
}

// What rows without a row of their own have seen is nothing.
void ForgetRows(const at::Tensor& has_row, AttentionPart& part) {
  if (!has_row.defined()) return;
  const at::Tensor hidden = has_row.logical_not();
  part.out.masked_fill_(hidden.view({-1, 1, 1}), 0);
  part.lse.masked_fill_(hidden, kMinusInfinity);
}

// The rows [begin, end) of the batch that a tensor has a value for; undefined stays undefined.
at::Tensor Rows(const at::Tensor& x, int64_t begin, int64_t end) {
  return x.defined() ? x.slice(0, begin, end) : x;
}

void Write(const AttentionPart& block, int64_t begin, int64_t end, AttentionPart& part) {
  part.out.slice(0, begin, end).copy_(block.out);
  part.lse.slice(1, begin, end).copy_(block.lse);
}

}  // namespace

AttentionPart PortableBackend::Band(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const WindowRun& run, double scale) const {
  AttentionPart part = NothingSeen(q);
  for (size_t text = 0; text + 1 < run.cu_seqlens.size(); ++text) {
    const int64_t begin = run.cu_seqlens[text], end = run.cu_seqlens[text + 1];
    const int64_t window = std::min(run.window, end - begin);
    const bool sees_all = window >= end - begin - 1;
    const int64_t keys_of_a_row = std::min(end - begin, 2 * window + 1);
    const int64_t wanted =
        sees_all ? end - begin : std::clamp(2 * window, kBandRows, kMostBandRows);
    const int64_t rows_at_once = std::min(wanted, RowsOfScores(q.size(1), 2 * keys_of_a_row));
    for (int64_t row = begin; row < end; row += rows_at_once) {
      const int64_t row_end = std::min(row + rows_at_once, end);
      const int64_t key = std::max(begin, row - window), key_end = std::min(end, row_end + window);
      at::Tensor hidden;
      if (!sees_all) {
        hidden = (Range(row, row_end, q).unsqueeze(1) - Range(key, key_end, q)).abs().gt(window);
      }
      Write(Attend(q.slice(0, row, row_end), k.slice(0, key, key_end), v.slice(0, key, key_end),
                   hidden, Rows(run.read, key, key_end), scale),
            row, row_end, part);
    }
  }
  ForgetRows(run.has_row, part);
  return part;
}

AttentionPart PortableBackend::Columns(const at::Tensor& q, const at::Tensor& k,
                                       const at::Tensor& v, const WindowRun& run,
                                       double scale) const {
  AttentionPart part = NothingSeen(q);
  for (const GlobalsOfText& text : run.with_columns) {
    const at::Tensor globals =
        run.globals_on_device.slice(0, text.global_begin, text.global_end);  // [G]
    const at::Tensor keys = k.index_select(0, globals), values = v.index_select(0, globals);
    const at::Tensor read = run.read.defined() ? run.read.index_select(0, globals) : at::Tensor();
    const int64_t rows_at_once = RowsOfScores(q.size(1), globals.size(0));
    for (int64_t row = text.row_begin; row < text.row_end; row += rows_at_once) {
      const int64_t row_end = std::min(row + rows_at_once, text.row_end);
      const at::Tensor in_window =
          (Range(row, row_end, q).unsqueeze(1) - globals).abs().le(run.window);
      Write(Attend(q.slice(0, row, row_end), keys, values, in_window, read, scale), row, row_end,
            part);
    }
  }
  ForgetRows(run.has_row, part);
  return part;
}

// An empty part has the weight 0, whichever infinity its logsumexp is. Its rows are zeros; where
// they are NaN, because the keys held NaN, 0 times NaN keeps that.
AttentionPart PortableBackend::Merge(const AttentionPart& a, const AttentionPart& b) const {
  const auto known = [](const at::Tensor& lse) {
    return lse.masked_fill(lse.isinf(), kMinusInfinity);
  };
  const at::Tensor lse_a = known(a.lse), lse_b = known(b.lse);  // [H, T]
  at::Tensor most = at::maximum(lse_a, lse_b);
  const at::Tensor empty = most.isinf();
  most = most.masked_fill(empty, 0);
  const at::Tensor weight_a = (lse_a - most).exp(), weight_b = (lse_b - most).exp();
  const at::Tensor total = weight_a + weight_b;
  const at::Tensor divisor = total.masked_fill(empty, 1);
  const auto share = [&](const at::Tensor& weight) {
    return (weight / divisor).t().unsqueeze(-1);  // [T, H, 1]
  };
  const at::Tensor out =
      a.out.to(at::kFloat) * share(weight_a) + b.out.to(at::kFloat) * share(weight_b);
  return {.out = out.to(a.out.scalar_type()), .lse = total.log() + most};
}

at::Tensor PortableBackend::FirstRows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      std::span<const int32_t> cu_seqlens,
                                      std::span<const uint8_t> key_mask, double scale) const {
  const int64_t num_texts = static_cast<int64_t>(cu_seqlens.size()) - 1;
  if (q.size(0) == 0) return at::zeros({num_texts, q.size(1), q.size(2)}, q.options());
  std::vector<int64_t> lengths, text_of, first_of;  // of each text; of each key, twice
  std::vector<uint8_t> is_empty;                    // of each text
  for (int64_t text = 0; text < num_texts; ++text) {
    const int32_t begin = cu_seqlens[text], end = cu_seqlens[text + 1];
    lengths.push_back(end - begin);
    is_empty.push_back(begin == end || (!key_mask.empty() && key_mask[begin] == 0));
    text_of.insert(text_of.end(), end - begin, text);
    first_of.insert(first_of.end(), end - begin, begin);
  }
  const at::Tensor of_text = Upload(at::tensor(lengths));
  const at::Tensor text_of_key = Upload(at::tensor(text_of));
  const auto reduce = [&](const at::Tensor& x, const char* how, double initial) {
    return at::segment_reduce(x, how, of_text, std::nullopt, std::nullopt, 0, /*unsafe=*/true,
                              initial);
  };
  const at::Tensor query = q.index_select(0, Upload(at::tensor(first_of))).to(at::kFloat);
  at::Tensor scores = (query * k).sum(-1).mul_(scale);  // [keys, H]
  at::Tensor values = v.to(at::kFloat);
  if (!key_mask.empty()) {
    const at::Tensor mask = at::tensor(std::vector<uint8_t>(key_mask.begin(), key_mask.end()));
    const at::Tensor on_device = Upload(mask);
    const at::Tensor hidden = on_device.eq(int64_t{kernels::kNotRead})
                                  .logical_or(on_device.eq(int64_t{kernels::kUnseen}));
    scores = scores.masked_fill(hidden.unsqueeze(1), kMinusInfinity);
    values = values.masked_fill(hidden.view({-1, 1, 1}), 0);
  }
  at::Tensor most = reduce(scores, "max", kMinusInfinity);  // [B, H]
  most = most.masked_fill(most.isneginf(), 0);
  const at::Tensor p = (scores - most.index_select(0, text_of_key)).exp();
  const at::Tensor total = reduce(p, "sum", 0);
  const at::Tensor sum = reduce((p.unsqueeze(-1) * values).contiguous(), "sum", 0);  // [B, H, D]
  const at::Tensor empty = Upload(at::tensor(is_empty)).ne(0).view({-1, 1, 1});
  return sum.div(total.unsqueeze(-1)).masked_fill(empty, 0).to(q.scalar_type());
}

namespace {

// The rows of the blocks between the first and the last of one text. q, k, v [n, H, D] are the
// text's; `read` [n] or undefined. Writes to out [n, H, D].
void AttendMiddleBlocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const at::Tensor& read, const BlockSparsePattern& pattern, double scale,
                        at::Tensor& out) {
  const int64_t size = pattern.block_size, heads = q.size(1), head_size = q.size(2);
  const int64_t last = q.size(0) / size - 1;  // number of the last block
  const int64_t keys = 5 * size;
  const int64_t at_once = std::max<int64_t>(1, RowsOfScores(heads, keys) / size);
  for (int64_t begin = 1; begin < last; begin += at_once) {
    const int64_t end = std::min(begin + at_once, last), count = end - begin;
    const at::Tensor block = Range(begin, end, q);  // [blocks]
    const at::Tensor seen = at::stack({block * 0, block - 1, block, block + 1, block * 0 + last},
                                      1);  // [blocks, 5]
    // Block 1 has block 0 as its neighbour too, and the last but one has the last.
    const at::Tensor never = block.lt(0);
    const at::Tensor twice = at::stack({never, block.eq(1), never, block.eq(last - 1), never}, 1);
    const at::Tensor rows =
        (seen.unsqueeze(-1) * size + Range(0, size, q)).view({count * keys});  // [blocks * keys]
    at::Tensor hidden = twice.unsqueeze(-1).expand({count, 5, size}).reshape({count, keys});
    const auto packed = [&](const at::Tensor& x) {
      return x.index_select(0, rows).view({count, keys, heads, head_size}).to(at::kFloat);
    };
    at::Tensor values = packed(v);
    if (read.defined()) {
      const at::Tensor unread = read.index_select(0, rows).logical_not().view({count, keys});
      hidden = hidden.logical_or(unread);
      values = values.masked_fill(unread.view({count, keys, 1, 1}), 0);
    }
    const at::Tensor queries = q.slice(0, begin * size, end * size)
                                   .view({count, size, heads, head_size})
                                   .to(at::kFloat)
                                   .permute({0, 2, 1, 3})
                                   .mul(scale);  // [blocks, H, size, D]
    at::Tensor scores = at::matmul(queries, packed(k).permute({0, 2, 3, 1}));  // [.., size, keys]
    scores.slice(3, 0, size).add_(std::log1p(static_cast<double>(pattern.random_blocks)));
    scores.masked_fill_(hidden.view({count, 1, 1, keys}), kMinusInfinity);
    const at::Tensor attended =
        at::matmul(at::softmax(scores, -1), values.permute({0, 2, 1, 3}));  // [blocks, H, size, D]
    out.slice(0, begin * size, end * size)
        .copy_(attended.permute({0, 2, 1, 3}).reshape({count * size, heads, head_size}));
  }
}

}  // namespace

at::Tensor PortableBackend::BlockSparse(const at::Tensor& q, const at::Tensor& k,
                                        const at::Tensor& v, const WindowRun& run,
                                        const BlockSparsePattern& pattern, double scale) const {
  AttentionPart part = NothingSeen(q);
  for (size_t text = 0; text + 1 < run.cu_seqlens.size(); ++text) {
    const int64_t begin = run.cu_seqlens[text], end = run.cu_seqlens[text + 1];
    const auto of_text = [&](const at::Tensor& x) { return Rows(x, begin, end); };
    const at::Tensor read = of_text(run.read);
    at::Tensor out = of_text(part.out);
    AttendMiddleBlocks(of_text(q), of_text(k), of_text(v), read, pattern, scale, out);
    // The first and the last block see the whole text.
    for (const int64_t edge : {begin, end - pattern.block_size}) {
      const int64_t edge_end = edge + pattern.block_size;
      const int64_t rows_at_once = RowsOfScores(q.size(1), end - begin);
      for (int64_t row = edge; row < edge_end; row += rows_at_once) {
        const int64_t row_end = std::min(row + rows_at_once, edge_end);
        Write(Attend(q.slice(0, row, row_end), of_text(k), of_text(v), /*hidden=*/{}, read, scale),
              row, row_end, part);
      }
    }
  }
  ForgetRows(run.has_row, part);
  return part.out.to(q.scalar_type());
}

}  // namespace longspan
