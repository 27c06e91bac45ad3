// The rows of global tokens on a backend, in the two exact forms that
// core/attention/global_row_attention.cc explains: reassociated, where no token but the globals is
// projected, and direct, which is cheaper where a text has many globals.
#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <utility>

#include "core/backend/portable_backend.h"
#include "core/backend/portable_softmax.h"

namespace longspan {
namespace {

// Rows whose scores exist at once, for up to about E queries.
constexpr int64_t kKeysAtOnce = 8192;
// Globals whose queries are multiplied together: [12, 1024, 768] float32 are 36 MiB.
constexpr int64_t kGlobalsAtOnce = 1024;

// PortableBackend::AverageRows for the rows and the layout at hand.
using AverageRowsFunction =
    std::function<at::Tensor(const at::Tensor& u, std::span<const GlobalsOfText> texts)>;

class GlobalRows {
 public:
  GlobalRows(const Backend& backend, AverageRowsFunction average_rows, const at::Tensor& hidden,
             const GlobalProjections& projections, int64_t num_heads, const DeviceLayout& layout)
      : backend_(backend),
        average_rows_(std::move(average_rows)),
        hidden_(hidden),
        projections_(projections),
        layout_(layout),
        width_(hidden.size(1)),
        heads_(num_heads),
        head_size_(width_ / num_heads) {}

  bool ReassociationIsCheaper(const GlobalsOfText& text) const {
    return IsReassociationCheaper(text.global_end - text.global_begin, heads_, width_);
  }

  // Scaled queries of all globals, [G, H, D] float32.
  at::Tensor Queries() const {
    const at::Tensor rows = hidden_.index_select(0, layout_.globals).to(at::kFloat);
    return at::addmm(Float(projections_.query_bias), rows, Float(projections_.query_weight).t())
        .mul_(1 / std::sqrt(static_cast<double>(head_size_)))
        .view({rows.size(0), heads_, head_size_});
  }

  // The reassociated form for the globals of neighbouring texts: q [G, H, D] -> the same shape.
  at::Tensor Reassociated(const at::Tensor& q, std::span<const GlobalsOfText> texts) const {
    const at::Tensor u =
        at::bmm(q.transpose(0, 1),
                Float(projections_.key_weight).view({heads_, head_size_, width_}));  // [H, G, E]
    const at::Tensor averages = average_rows_(u, texts);
    const at::Tensor weight =
        Float(projections_.value_weight).view({heads_, head_size_, width_}).transpose(1, 2);
    return at::baddbmm(Float(projections_.value_bias).view({heads_, 1, head_size_}), averages,
                       weight)
        .transpose(0, 1);
  }

  // The direct form: q [G of the text, H, D] -> the same shape.
  at::Tensor Direct(const at::Tensor& q, const GlobalsOfText& text) const {
    const auto of_text = [&](const at::Tensor& x) {
      return x.slice(0, text.row_begin, text.row_end);
    };
    const auto project = [&](const at::Tensor& weight, const at::Tensor& bias) {
      return backend_.Product(of_text(hidden_), weight, bias, kernels::Activation::kNone)
          .view({-1, heads_, head_size_});
    };
    const at::Tensor k = project(projections_.key_weight, projections_.key_bias);
    const at::Tensor v = project(projections_.value_weight, projections_.value_bias);
    const at::Tensor read = layout_.read.defined() ? of_text(layout_.read) : at::Tensor();
    at::Tensor out = at::empty_like(q);
    const int64_t at_once = RowsOfScores(heads_, k.size(0));
    for (int64_t begin = 0; begin < q.size(0); begin += at_once) {
      const int64_t end = std::min(begin + at_once, q.size(0));
      out.slice(0, begin, end)
          .copy_(Attend(q.slice(0, begin, end), k, v, /*hidden=*/{}, read, /*scale=*/1).out);
    }
    return out;
  }

 private:
  static at::Tensor Float(const at::Tensor& x) { return x.to(at::kFloat); }

  const Backend& backend_;
  const AverageRowsFunction average_rows_;
  const at::Tensor& hidden_;
  const GlobalProjections& projections_;
  const DeviceLayout& layout_;
  const int64_t width_, heads_, head_size_;
};

// The same for the queries of one text: u [H, G of the text, E] -> the same shape.
at::Tensor AverageRowsOfText(const at::Tensor& u, const at::Tensor& hidden,
                             const GlobalsOfText& text, const at::Tensor& read) {
  constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
  const at::Tensor queries = u.reshape({-1, u.size(2)});  // [R, E]
  at::Tensor most = at::full({queries.size(0), 1}, kMinusInfinity, queries.options());
  at::Tensor total = at::zeros({queries.size(0), 1}, queries.options());
  at::Tensor sum = at::zeros_like(queries);
  for (int64_t begin = text.row_begin; begin < text.row_end; begin += kKeysAtOnce) {
    const int64_t end = std::min(begin + kKeysAtOnce, text.row_end);
    at::Tensor rows = hidden.slice(0, begin, end).to(at::kFloat);  // [keys, E]
    at::Tensor p = at::mm(queries, rows.t());                      // [R, keys]
    if (read.defined()) {
      const at::Tensor unread = read.slice(0, begin, end).logical_not();
      p.masked_fill_(unread, kMinusInfinity);
      rows = rows.masked_fill(unread.unsqueeze(1), 0);
    }
    const at::Tensor raised = at::maximum(most, at::amax(p, 1, /*keepdim=*/true));
    // Until a key was read all scores are -inf, and so is their maximum.
    const at::Tensor base = raised.masked_fill(raised.isneginf(), 0);
    const at::Tensor shrink = (most - base).exp_();
    p.sub_(base).exp_();
    total.mul_(shrink).add_(p.sum(1, /*keepdim=*/true));
    sum.mul_(shrink).addmm_(p, rows);
    most = raised;
  }
  return sum.div_(total).view(u.sizes());
}

}  // namespace

at::Tensor PortableBackend::AverageRows(const at::Tensor& u, const at::Tensor& hidden,
                                        std::span<const GlobalsOfText> texts,
                                        const DeviceLayout& layout) const {
  at::Tensor averages = at::empty_like(u);
  for (const GlobalsOfText& text : texts) {
    const int64_t first = text.global_begin - texts.front().global_begin;
    const int64_t count = text.global_end - text.global_begin;
    averages.narrow(1, first, count)
        .copy_(AverageRowsOfText(u.narrow(1, first, count), hidden, text, layout.read));
  }
  return averages;
}

void PortableBackend::GlobalRows(const at::Tensor& hidden, const GlobalProjections& projections,
                                 int64_t num_heads, const DeviceLayout& layout,
                                 at::Tensor& out) const {
  const std::vector<GlobalsOfText>& texts = layout.texts_with_globals;
  if (texts.empty()) return;
  const auto average = [&](const at::Tensor& u, std::span<const GlobalsOfText> of_texts) {
    return AverageRows(u, hidden, of_texts, layout);
  };
  const longspan::GlobalRows rows(*this, average, hidden, projections, num_heads, layout);
  const at::Tensor q = rows.Queries();  // [G, H, D]
  at::Tensor made = at::empty_like(q);
  for (size_t begin = 0, end = 0; begin < texts.size(); begin = end) {
    const int64_t first = texts[begin].global_begin;
    if (!rows.ReassociationIsCheaper(texts[begin])) {
      const int64_t count = texts[begin].global_end - first;
      made.narrow(0, first, count).copy_(rows.Direct(q.narrow(0, first, count), texts[begin]));
      end = begin + 1;
      continue;
    }
    // Neighbouring texts whose products are made together.
    for (end = begin + 1; end < texts.size() && rows.ReassociationIsCheaper(texts[end]) &&
                          texts[end].global_end - first <= kGlobalsAtOnce;) {
      ++end;
    }
    const int64_t count = texts[end - 1].global_end - first;
    made.narrow(0, first, count)
        .copy_(rows.Reassociated(q.narrow(0, first, count), {&texts[begin], end - begin}));
  }
  Scatter(made, layout.globals, out);
}

}  // namespace longspan
