// The LSH attention half of a layer, for some heads at a time, in three steps:
//   1. Rows: LayerNorm, qk and v of each head. The hash of qk gives each row its bucket in each
//      round.
//   2. Sort: for every head, text and round, the rows in the order of their buckets (slots).
//   3. Blocks: attention of some chunks in sorted order, and then
//      - one round in every text: the product with the head's part of the output matrix. Each row
//        of it is added to x1 where it belongs.
//      - several rounds: the rounds of a head are merged one after the other. The product follows
//        in text order.
// Example: 2 heads, texts of 64 and 128 rows, 2 rounds: step 2 sorts 2 · 2 · 2 = 8 sequences of 64
// or 128 rows.
// With one round no result [rows, D] of a whole text ever exists.
// On a backend there are no blocks: all rows and heads go through each step at once.
// The product that gives qk is float32 in every model, because in bfloat16 some tokens would fall
// into other buckets. How hashing and chunks work stands in core/attention/lsh_attention.h.
// Cost O(T·H·D·E) for the products. Source: Reformer, arXiv 2001.04451, sec. 2. Proven by
// lsh_attention_test, reformer_golden_test and reformer_fixture_test.
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/backend/backend.h"
#include "core/models/reformer/layer.h"
#include "core/models/take_layers.h"
#include "core/runtime/parallel_blocks.h"

namespace longspan {
namespace {

// Most memory for queries, keys and values of the heads at hand, unless one head needs more: a
// quarter of what the two streams of half a million tokens take (2 x 512 MiB with E = 256).
constexpr int64_t kQueryKeyValueBytes = int64_t{256} << 20;

// On the kernels of the CPU.
class LshLayerAttention : public ReformerAttention {
 public:
  LshLayerAttention(WeightMap& weights, const std::string& name, const ReformerConfig& config,
                    DataType dtype)
      : dtype_(dtype),
        head_size_(config.head_size),
        norm_(TakeLayerNorm(weights, name + ".layer_norm", config.hidden_size,
                            config.layer_norm_eps, dtype)) {
    const int64_t H = config.num_heads, D = config.head_size, E = config.hidden_size;
    const at::Tensor qk = weights.Take(name + ".self_attention.query_key.weight", {H * D, E});
    const at::Tensor v = weights.Take(name + ".self_attention.value.weight", {H * D, E});
    const at::Tensor output = weights.Take(name + ".output.dense.weight", {E, H * D});
    if (!qk.defined() || !v.defined() || !output.defined()) return;
    for (int64_t h = 0; h < H; ++h) {
      const at::Tensor query_key = qk.narrow(0, h * D, D), value = v.narrow(0, h * D, D);
      // Where v is float32 too, one product gives both.
      const bool together = dtype == DataType::kFloat32;
      heads_.push_back({Linear(together ? at::cat({query_key, value}) : query_key, at::Tensor(),
                               DataType::kFloat32),
                        together ? Linear() : Linear(value, at::Tensor(), dtype),
                        Linear(output.narrow(1, h * D, D).contiguous(), at::Tensor(), dtype)});
    }
  }

  void AddTo(at::Tensor& x1, const at::Tensor& x2, ReformerPass& pass) const override {
    const int64_t num_heads = static_cast<int64_t>(heads_.size());
    for (int64_t first = 0; first < num_heads; first += pass.lsh->heads_at_once()) {
      const int64_t count = std::min(pass.lsh->heads_at_once(), num_heads - first);
      Project(x2, first, count, pass);
      pass.lsh->Sort(count);
      for (int64_t h = 0; pass.observer && h < count; ++h)
        pass.lsh->Observe(h, first + h, *pass.observer);
      for (int64_t h = 0; h < count; ++h) {
        if (pass.lsh->num_rounds() == 1) {
          AddSingleRound(h, heads_[first + h], *pass.lsh, x1);
        } else {
          AddRounds(h, heads_[first + h], pass, x1);
        }
      }
    }
  }

 private:
  struct Head {
    Linear query_key;  // [E] -> [D]; in a float32 model [E] -> [2, D], the values behind
    Linear value;      // [E] -> [D]; undefined in a float32 model
    Linear output;     // [D] -> [E]
  };

  // Step 1 for `count` heads from `first` on.
  void Project(const at::Tensor& x2, int64_t first, int64_t count, ReformerPass& pass) const {
    ParallelBlocks(static_cast<int64_t>(pass.row_blocks.size()), [&](int64_t i) {
      const auto [begin, end] = pass.row_blocks[i];
      const at::Tensor normed = NormTo(norm_, x2.narrow(0, begin, end - begin), at::kFloat);
      const at::Tensor rounded = normed.to(RowType(dtype_));
      for (int64_t h = 0; h < count; ++h) {
        const Head& head = heads_[first + h];
        const at::Tensor qk = head.query_key(normed);
        const at::Tensor v =
            head.value.defined() ? head.value(rounded) : qk.narrow(1, head_size_, head_size_);
        pass.lsh->Take(h, first + h, begin, qk.narrow(1, 0, head_size_), v);
      }
    });
  }

  // Step 3 where every text has one round. `h` is the place of the head among those at hand.
  void AddSingleRound(int64_t h, const Head& head, const LshAttention& lsh, at::Tensor& x1) const {
    ParallelBlocks(static_cast<int64_t>(lsh.blocks(0).size()), [&](int64_t i) {
      const LshAttention::Block& block = lsh.blocks(0)[i];
      at::Tensor out = at::empty({block.num_slots, head_size_}, RowType(dtype_));
      lsh.Attend(h, block, out, nullptr);
      AddToStream(head.output(out), lsh.row_begin(block), lsh.slots(h, block), x1);
    });
  }

  // Step 3 where some text has several rounds.
  void AddRounds(int64_t h, const Head& head, const ReformerPass& pass, at::Tensor& x1) const {
    const LshAttention& lsh = *pass.lsh;
    at::Tensor sum = at::empty({x1.size(0), head_size_}, at::kFloat);
    at::Tensor maximum = at::empty({x1.size(0)}, at::kFloat);
    at::Tensor weight = at::empty({x1.size(0)}, at::kFloat);
    const kernels::LshMergeState state{
        sum.mutable_data_ptr<float>(), maximum.mutable_data_ptr<float>(),
        weight.mutable_data_ptr<float>(), static_cast<int32_t>(head_size_)};
    for (int32_t round = 0; round < lsh.num_rounds(); ++round) {
      ParallelBlocks(static_cast<int64_t>(lsh.blocks(round).size()),
                     [&](int64_t i) { MergeBlock(h, lsh, lsh.blocks(round)[i], round, state); });
    }
    ParallelBlocks(static_cast<int64_t>(pass.row_blocks.size()), [&](int64_t i) {
      const auto [begin, end] = pass.row_blocks[i];
      kernels::LshMergeFinish(state, begin, end);
      AddToStream(head.output(sum.narrow(0, begin, end - begin), RowType(dtype_)), begin, nullptr,
                  x1);
    });
  }

  void MergeBlock(int64_t h, const LshAttention& lsh, const LshAttention::Block& block,
                  int32_t round, const kernels::LshMergeState& state) const {
    at::Tensor out = at::empty({block.num_slots, head_size_}, at::kFloat);
    at::Tensor lse = at::empty({block.num_slots}, at::kFloat);
    lsh.Attend(h, block, out, lse.mutable_data_ptr<float>());
    kernels::LshMergeRound(state, out.const_data_ptr<float>(), lse.const_data_ptr<float>(),
                           lsh.row_begin(block), lsh.slots(h, block), block.num_slots, round == 0);
  }

  DataType dtype_;
  int64_t head_size_;
  LayerNorm norm_;
  std::vector<Head> heads_;
};

// On a backend.
class LshLayerOfAllRows : public ReformerAttention {
 public:
  LshLayerOfAllRows(WeightMap& weights, const std::string& name, const ReformerConfig& config,
                    const Placement& placement)
      : placement_(placement),
        num_heads_(config.num_heads),
        head_size_(config.head_size),
        norm_(TakeLayerNorm(weights, name + ".layer_norm", config.hidden_size,
                            config.layer_norm_eps, placement)),
        query_key_(TakeLinear(weights, name + ".self_attention.query_key", num_heads_ * head_size_,
                              config.hidden_size, Placement(DataType::kFloat32, placement.backend),
                              Activation::kNone, /*bias=*/false)),
        value_(TakeLinear(weights, name + ".self_attention.value", num_heads_ * head_size_,
                          config.hidden_size, placement, Activation::kNone, /*bias=*/false)),
        output_(TakeLinear(weights, name + ".output.dense", config.hidden_size,
                           num_heads_ * head_size_, placement, Activation::kNone,
                           /*bias=*/false)) {}

  void AddTo(at::Tensor& x1, const at::Tensor& x2, ReformerPass& pass) const override {
    const at::ScalarType type = placement_.row_type();
    const at::Tensor normed = norm_(x2);  // float32
    const at::Tensor exact = OfHeads(query_key_(normed)), v = OfHeads(value_(normed.to(type)));
    const at::Tensor out =
        placement_.backend->LshChunks(exact, exact.to(type), v, pass.lsh_runs);  // [rows, H, D]
    x1.add_(output_(out.view({x2.size(0), num_heads_ * head_size_})));
  }

 private:
  at::Tensor OfHeads(const at::Tensor& x) const {
    return x.view({x.size(0), num_heads_, head_size_});
  }

  Placement placement_;
  int64_t num_heads_;
  int64_t head_size_;
  LayerNorm norm_;
  Linear query_key_;  // [E] -> [H, D], float32 whatever the placement's type
  Linear value_;      // [E] -> [H, D]
  Linear output_;     // [H, D] -> [E]
};

}  // namespace

std::unique_ptr<ReformerAttention> MakeLshAttention(WeightMap& weights, const std::string& name,
                                                    const ReformerConfig& config,
                                                    const Placement& placement) {
  if (placement.backend != nullptr)
    return std::make_unique<LshLayerOfAllRows>(weights, name, config, placement);
  return std::make_unique<LshLayerAttention>(weights, name, config, placement.dtype);
}

int64_t LshHeadsAtOnce(const ReformerConfig& config, DataType dtype, int64_t num_rows) {
  const int64_t bytes_a_head =
      num_rows * 2 * config.head_size * static_cast<int64_t>(c10::elementSize(RowType(dtype)));
  return std::clamp<int64_t>(kQueryKeyValueBytes / std::max<int64_t>(1, bytes_a_head), 1,
                             config.num_heads);
}

}  // namespace longspan
