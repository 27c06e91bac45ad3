// The rows of global tokens without projecting every token.
//
// Idea. A global query q of one head scores token j by s_j = q·(W_k x_j + b_k), where W_k is the
// head's D x E part of the key projection. The products can be reassociated:
//   s_j = (W_k^T q)·x_j + q·b_k
//   o   = sum_j p_j (W_v x_j + b_v) = W_v (sum_j p_j x_j) + b_v      since the p_j sum to 1
// q·b_k is the same for every j and leaves the softmax as it is, so b_k is not read. What is left
// for each text is one pass over its hidden rows: the queries u = W_k^T q, [R, E] with R = globals
// x heads, against the rows [T, E].
//
// Example, Longformer-base, T = 4,096, one global: projecting the keys and values of all tokens
// takes 2·2·4096·768^2 = 9.7 GFLOP, and this form 4·12·4096·768 = 0.15 GFLOP. The direct form
// (project keys and values, then dense attention) is cheaper from about R = E on: globals x heads
// >= hidden size + globals. Both forms are exact and differ in rounding only; the published code
// has the direct one.
//
// The pass goes through the keys in blocks with a running maximum, as in FlashAttention (arXiv
// 2205.14135, algorithm 1). Scratch is therefore O(R·(block + E)) and not O(R·T).
// Source: Longformer, arXiv 2004.05150, sec. 3.1, "linear projections for global attention".
// Proven by global_row_attention_test.
#include "core/attention/global_row_attention.h"

#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/attention/attention_observer.h"
#include "core/kernels/key_mask.h"

namespace longspan {
namespace {

// Rows of hidden that stay in the second-level cache between the scores and the sums: 1.5 MiB for
// E = 768.
constexpr int64_t kBlockKeys = 512;
// Globals whose queries are projected together. This bounds u to [128 H, E].
constexpr int64_t kGlobalsPerGroup = 128;
// Between two calls of keep_going: 20 ms at 100 GFLOP/s.
constexpr double kFlopPerPause = 2e9;
// Rows of the direct form that are projected at once, and the fewest globals that attend at once:
// with fewer, the products run far below full speed.
constexpr int64_t kProjectedRows = 1024;
constexpr int64_t kFewestGlobals = 32;

// Counts FLOP and asks keep_going whenever kFlopPerPause of them are done.
class Pauses {
 public:
  explicit Pauses(const std::function<bool()>& keep_going) : keep_going_(keep_going) {}
  // False: the rest is not wanted.
  bool Count(double flop) {
    flop_ += flop;
    if (flop_ < kFlopPerPause || stopped_) return !stopped_;
    flop_ = 0;
    stopped_ = keep_going_ && !keep_going_();
    return !stopped_;
  }

 private:
  const std::function<bool()>& keep_going_;
  double flop_ = 0;
  bool stopped_ = false;
};

struct TextGlobals {
  int64_t begin = 0;  // rows [begin, end) of the text
  int64_t end = 0;
  std::vector<int64_t> positions;  // rows of its globals that are read
};

// Texts that have globals. A global token that the mask leaves out is not global.
std::vector<TextGlobals> TextsWithGlobals(const PackedLayout& layout) {
  std::vector<TextGlobals> texts;
  if (layout.globals.empty()) return texts;
  for (size_t text = 0; text + 1 < layout.cu_seqlens.size(); ++text) {
    TextGlobals found{.begin = layout.cu_seqlens[text], .end = layout.cu_seqlens[text + 1]};
    for (int32_t g = layout.cu_globals[text]; g < layout.cu_globals[text + 1]; ++g) {
      const int64_t position = layout.globals[g];
      if (layout.key_mask.empty() || kernels::IsSeen(layout.key_mask[position]))
        found.positions.push_back(position);
    }
    if (!found.positions.empty()) texts.push_back(std::move(found));
  }
  return texts;
}

class GlobalRows {
 public:
  GlobalRows(const at::Tensor& hidden, const GlobalProjections& projections, int64_t num_heads,
             const PackedLayout& layout, Pauses& pauses)
      : hidden_(hidden),
        projections_(projections),
        layout_(layout),
        pauses_(pauses),
        width_(hidden.size(1)),
        heads_(num_heads),
        head_size_(width_ / num_heads) {}

  bool ReassociationIsCheaper(int64_t num_globals) const {
    return IsReassociationCheaper(num_globals, heads_, width_);
  }

  // The rows of the globals of these texts, in order: [sum G, H, D]. Undefined = stop.
  at::Tensor Reassociated(std::span<const TextGlobals> texts) const {
    const at::Tensor q = Queries(texts).transpose(0, 1);  // [H, sum G, D]
    const at::Tensor u =
        at::bmm(q, projections_.key_weight.view({heads_, head_size_, width_}));  // [H, sum G, E]
    at::Tensor averages = at::empty_like(u);                                     // [H, sum G, E]
    int64_t first = 0;
    for (const TextGlobals& text : texts) {
      const int64_t count = static_cast<int64_t>(text.positions.size());
      const at::Tensor rows =
          u.narrow(1, first, count).reshape({heads_ * count, width_});  // [R, E]
      const at::Tensor average = AverageOfKeys(rows, text);
      if (!average.defined()) return {};
      averages.narrow(1, first, count).copy_(average.view({heads_, count, width_}));
      first += count;
    }
    const at::Tensor value_weight =
        projections_.value_weight.view({heads_, head_size_, width_}).transpose(1, 2);
    const at::Tensor value_bias = projections_.value_bias.view({heads_, 1, head_size_});
    return at::baddbmm(value_bias, averages, value_weight).transpose(0, 1);  // [sum G, H, D]
  }

  // The direct form: keys and values of every token that is read, then dense attention, a part of
  // the globals at a time. [G, H, D]; undefined = stop.
  at::Tensor Direct(const TextGlobals& text) const {
    const at::Tensor rows = ReadRows(text);                                 // [n, E]
    const at::Tensor q = Queries({&text, 1}).transpose(0, 1).unsqueeze(0);  // [1, H, G, D]
    const at::Tensor k = Projected(rows, projections_.key_weight, projections_.key_bias);
    if (!k.defined()) return {};
    const at::Tensor v = Projected(rows, projections_.value_weight, projections_.value_bias);
    if (!v.defined()) return {};
    const int64_t globals = q.size(2);
    const double flop_of_one = 4.0 * static_cast<double>(width_ * rows.size(0));
    const int64_t at_once =
        std::max(kFewestGlobals, static_cast<int64_t>(kFlopPerPause / flop_of_one));
    at::Tensor out = at::empty({globals, heads_, head_size_}, q.options());
    for (int64_t begin = 0; begin < globals; begin += at_once) {
      const int64_t count = std::min(at_once, globals - begin);
      const at::Tensor part = std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
          q.narrow(2, begin, count), k, v, 0.0, false, std::nullopt, /*scale=*/1.0));
      out.narrow(0, begin, count).copy_(part.squeeze(0).transpose(0, 1));
      if (!pauses_.Count(static_cast<double>(count) * flop_of_one)) return {};
    }
    return out;
  }

 private:
  at::Tensor Heads(const at::Tensor& x) const { return x.view({x.size(0), heads_, head_size_}); }

  // rows W^T + b by heads: [n, E] -> [1, H, n, D]. Undefined = stop.
  at::Tensor Projected(const at::Tensor& rows, const at::Tensor& weight,
                       const at::Tensor& bias) const {
    at::Tensor out = at::empty_like(rows);
    for (int64_t begin = 0; begin < rows.size(0); begin += kProjectedRows) {
      const int64_t count = std::min(kProjectedRows, rows.size(0) - begin);
      at::Tensor part = out.narrow(0, begin, count);
      at::addmm_out(part, bias, rows.narrow(0, begin, count), weight.t());
      if (!pauses_.Count(2.0 * static_cast<double>(width_ * width_ * count))) return {};
    }
    return Heads(out).transpose(0, 1).unsqueeze(0);
  }

  // Scaled queries of the globals of these texts: [sum G, H, D].
  at::Tensor Queries(std::span<const TextGlobals> texts) const {
    std::vector<int64_t> positions;
    for (const TextGlobals& text : texts)
      positions.insert(positions.end(), text.positions.begin(), text.positions.end());
    const at::Tensor rows = hidden_.index_select(0, at::tensor(positions)).to(at::kFloat);
    const at::Tensor q = at::addmm(projections_.query_bias, rows, projections_.query_weight.t());
    return Heads(q.mul_(1.0 / std::sqrt(static_cast<double>(head_size_))));
  }

  bool HasHoles(int64_t begin, int64_t end) const {
    return !layout_.key_mask.empty() &&
           !std::all_of(layout_.key_mask.begin() + begin, layout_.key_mask.begin() + end,
                        kernels::IsSeen);
  }

  // Rows in [begin, end) that are read.
  at::Tensor ReadPositions(int64_t begin, int64_t end) const {
    std::vector<int64_t> positions;
    for (int64_t j = begin; j < end; ++j)
      if (kernels::IsSeen(layout_.key_mask[j])) positions.push_back(j);
    return at::tensor(positions, at::kLong);
  }

  at::Tensor ReadRows(int64_t begin, int64_t end) const {
    if (!HasHoles(begin, end)) return hidden_.narrow(0, begin, end - begin).to(at::kFloat);
    return hidden_.index_select(0, ReadPositions(begin, end)).to(at::kFloat);
  }
  at::Tensor ReadRows(const TextGlobals& text) const { return ReadRows(text.begin, text.end); }

  // sum_j softmax_j(u x_j) x_j over the keys of a text that are read: u [R, E] -> [R, E].
  // Undefined = stop.
  at::Tensor AverageOfKeys(const at::Tensor& u, const TextGlobals& text) const {
    at::Tensor highest =
        at::full({u.size(0), 1}, -std::numeric_limits<float>::infinity(), u.options());
    at::Tensor total = at::zeros({u.size(0), 1}, u.options());
    at::Tensor sum = at::zeros_like(u);
    for (int64_t begin = text.begin; begin < text.end; begin += kBlockKeys) {
      const at::Tensor rows = ReadRows(begin, std::min(begin + kBlockKeys, text.end));  // [keys, E]
      if (rows.size(0) == 0) continue;
      at::Tensor p = at::mm(u, rows.t());  // [R, keys]
      const at::Tensor raised = at::maximum(highest, p.amax(1, /*keepdim=*/true));
      const at::Tensor shrink = highest.sub_(raised).exp_();
      p.sub_(raised).exp_();
      total.mul_(shrink).add_(p.sum(1, /*keepdim=*/true));
      sum.mul_(shrink).addmm_(p, rows);
      highest = raised;
      if (!pauses_.Count(4.0 * static_cast<double>(u.numel() * rows.size(0)))) return {};
    }
    return sum.div_(total);
  }

  const at::Tensor& hidden_;
  const GlobalProjections& projections_;
  const PackedLayout& layout_;
  Pauses& pauses_;
  const int64_t width_, heads_, head_size_;
};

void WriteRows(std::span<const TextGlobals> texts, const at::Tensor& rows, at::Tensor& out) {
  std::vector<int64_t> positions;
  for (const TextGlobals& text : texts)
    positions.insert(positions.end(), text.positions.begin(), text.positions.end());
  out.index_copy_(0, at::tensor(positions), rows.to(out.scalar_type()));
}

}  // namespace

void GlobalRowAttention(const at::Tensor& hidden, const GlobalProjections& projections,
                        int64_t num_heads, const PackedLayout& layout, at::Tensor& out,
                        const std::function<bool()>& keep_going) {
  TORCH_CHECK(hidden.dim() == 2 && hidden.size(1) % num_heads == 0,
              "global rows take [T, E] with E a multiple of ", num_heads, " heads, got ",
              hidden.sizes());
  if (layout.device != nullptr) {
    layout.device->backend->GlobalRows(hidden, projections, num_heads, *layout.device, out);
    return;
  }
  Pauses pauses(keep_going);
  const GlobalRows rows(hidden, projections, num_heads, layout, pauses);
  std::vector<TextGlobals> few;
  int64_t globals_in_group = 0;
  // Writes the rows; false = stop.
  const auto write = [&](std::span<const TextGlobals> texts, const at::Tensor& made) {
    if (made.defined()) WriteRows(texts, made, out);
    return made.defined();
  };
  const auto flush = [&] {
    if (few.empty()) return true;
    const bool goes_on = write(few, rows.Reassociated(few));
    few.clear();
    globals_in_group = 0;
    return goes_on;
  };
  for (TextGlobals& text : TextsWithGlobals(layout)) {
    if (layout.observer)
      layout.observer->OnGlobalRows(text.positions, text.begin, text.end, layout.key_mask);
    const int64_t count = static_cast<int64_t>(text.positions.size());
    if (!rows.ReassociationIsCheaper(count)) {
      if (!write({&text, 1}, rows.Direct(text))) return;
      continue;
    }
    if (globals_in_group + count > kGlobalsPerGroup && !flush()) return;
    globals_in_group += count;
    few.push_back(std::move(text));
  }
  flush();
}

}  // namespace longspan
