// The local attention half of a layer, window by window: LayerNorm, one product for queries, keys
// and values of all heads, chunk attention, output product, addition to x1.
// The chunks beside a window are projected once more with the window that they belong to. That is a
// sixteenth more work in these products (one chunk of 64 beside a window of 1,024 queries), and it
// spares keys and values of the whole text in memory.
// On a backend all rows are one window, and the backend finds the chunks.
// Source: Reformer, arXiv 2001.04451. Proven by reformer_golden_test and reformer_fixture_test.
#include <ATen/ops/cat.h>

#include "core/backend/backend.h"
#include "core/models/reformer/layer.h"
#include "core/models/take_layers.h"
#include "core/runtime/parallel_blocks.h"

namespace longspan {
namespace {

class LocalAttention : public ReformerAttention {
 public:
  LocalAttention(WeightMap& weights, const std::string& name, const ReformerConfig& config,
                 const Placement& placement)
      : placement_(placement),
        num_heads_(config.num_heads),
        head_size_(config.head_size),
        causal_(config.local.causal),
        norm_(TakeLayerNorm(weights, name + ".layer_norm", config.hidden_size,
                            config.layer_norm_eps, placement)),
        output_(TakeLinear(weights, name + ".output.dense", config.hidden_size,
                           num_heads_ * head_size_, placement, Activation::kNone,
                           /*bias=*/false)) {
    std::vector<at::Tensor> parts;
    for (const char* part : {"query", "key", "value"}) {
      parts.push_back(TakeMatrix(weights, name + ".self_attention." + part + ".weight",
                                 {num_heads_ * head_size_, config.hidden_size}, placement));
      if (!parts.back().defined()) return;
    }
    qkv_ = Linear(at::cat(parts), at::Tensor(), placement);
  }

  void AddTo(at::Tensor& x1, const at::Tensor& x2, ReformerPass& pass) const override {
    if (placement_.backend != nullptr) return AddAllRows(x1, x2, pass);
    if (pass.observer) {
      for (const ChunkWindow& window : pass.windows)
        ObserveChunkWindow(window, pass.key_mask, causal_, *pass.observer);
    }
    ParallelBlocks(static_cast<int64_t>(pass.windows.size()), [&](int64_t i) {
      const ChunkWindow& window = pass.windows[i];
      const at::Tensor qkv = qkv_(NormTo(norm_, Rows(x2, window), placement_.row_type()));
      const at::Tensor out = LocalChunkAttention(
          qkv.view({window.num_rows, 3, num_heads_, head_size_}), window, pass.key_mask, causal_);
      AddToStream(output_(out.view({window.num_queries, num_heads_ * head_size_})),
                  window.query_begin, nullptr, x1);
    });
  }

 private:
  // On a backend.
  void AddAllRows(at::Tensor& x1, const at::Tensor& x2, const ReformerPass& pass) const {
    const at::Tensor qkv =
        qkv_(norm_(x2).to(placement_.row_type())).view({x2.size(0), 3, num_heads_, head_size_});
    const at::Tensor out = placement_.backend->LocalChunks(qkv.select(1, 0), qkv.select(1, 1),
                                                           qkv.select(1, 2), pass.local_runs);
    x1.add_(output_(out.view({x2.size(0), num_heads_ * head_size_})));
  }

  // The rows of a window, its neighbours included: [num_rows, E].
  static at::Tensor Rows(const at::Tensor& x, const ChunkWindow& window) {
    std::vector<at::Tensor> parts;
    parts.reserve(window.row_ranges.size());
    for (const auto& [begin, end] : window.row_ranges)
      parts.push_back(x.narrow(0, begin, end - begin));
    return parts.size() == 1 ? parts[0] : at::cat(parts);
  }

  Placement placement_;
  int64_t num_heads_;
  int64_t head_size_;
  bool causal_;
  LayerNorm norm_;
  Linear qkv_;     // [E] -> [3, H, D]
  Linear output_;  // [H, D] -> [E]
};

}  // namespace

std::unique_ptr<ReformerAttention> MakeLocalAttention(WeightMap& weights, const std::string& name,
                                                      const ReformerConfig& config,
                                                      const Placement& placement) {
  return std::make_unique<LocalAttention>(weights, name, config, placement);
}

}  // namespace longspan
