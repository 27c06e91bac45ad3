#include "core/attention/lsh_attention.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "core/attention/attention_observer.h"
#include "core/kernels/lsh_hash.h"
#include "core/kernels/lsh_sort.h"
#include "core/layers/element_type_of.h"
#include "core/runtime/parallel_blocks.h"

namespace longspan {
namespace {

// Most slots of a block. Its results stay in the second-level cache until they are projected.
constexpr int64_t kMaxSlotsABlock = 512;

// Slots of a block: whole chunks, at most kMaxSlotsABlock or one chunk, and fewer where the compute
// team shares few rows.
int32_t SlotsABlock(int64_t num_rows, int32_t chunk_length) {
  const int64_t share = std::clamp<int64_t>(
      (num_rows + at::get_num_threads() - 1) / at::get_num_threads(), 1, kMaxSlotsABlock);
  return static_cast<int32_t>((share + chunk_length - 1) / chunk_length) * chunk_length;
}

bool IsHashed(const LshAttention::Text& text) { return text.rotations != nullptr; }

}  // namespace

LshRotations DrawLshRotations(uint64_t seed, int64_t num_heads, int64_t head_size,
                              int32_t num_hashes, const std::vector<int32_t>& factors) {
  const int64_t half = std::accumulate(factors.begin(), factors.end(), int64_t{0}) / 2;
  const int64_t columns = num_hashes * half;
  const at::Tensor drawn = at::randn({num_heads, head_size, num_hashes, half},
                                     at::detail::createCPUGenerator(seed), at::kFloat);
  LshRotations rotations{
      .num_hashes = num_hashes,
      .factors = factors,
      .num_buckets = std::accumulate(factors.begin(), factors.end(), 1, std::multiplies<int32_t>()),
      .values = at::zeros({num_heads, head_size, (columns + 31) / 32 * 32}, at::kFloat)};
  rotations.values.narrow(2, 0, columns).copy_(drawn.view({num_heads, head_size, columns}));
  return rotations;
}

std::vector<int32_t> AutomaticLshBuckets(int64_t padded_length, int64_t chunk_length,
                                         int64_t max_position_embeddings) {
  const int64_t twice = 2 * (padded_length / chunk_length);
  int power = 0;
  while ((int64_t{2} << power) <= twice) ++power;
  const int64_t most_chunks = max_position_embeddings / chunk_length;
  const auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(most_chunks)));
  const int64_t limit = 2 * std::max(root, chunk_length);
  if ((int64_t{1} << power) <= limit) return {1 << power};
  return {1 << (power / 2), 1 << (power - power / 2)};
}

LshAttention::LshAttention(const ChunkShape& shape, at::ScalarType type, int64_t head_size,
                           int64_t heads_at_once, std::vector<Text> texts,
                           std::span<const uint8_t> key_mask, int64_t num_rows)
    : shape_(shape),
      head_size_(head_size),
      heads_at_once_(heads_at_once),
      texts_(std::move(texts)),
      key_mask_(key_mask),
      slot_begin_{0} {
  const int32_t slots_a_block = SlotsABlock(num_rows, shape_.chunk_length);
  for (int32_t t = 0; t < static_cast<int32_t>(texts_.size()); ++t) {
    const int32_t length = texts_[t].rows.length;
    const int32_t rounds = IsHashed(texts_[t]) ? texts_[t].rotations->num_hashes : 1;
    TORCH_CHECK(IsHashed(texts_[t]) == (length > shape_.chunk_length),
                "a text is hashed if and only if it is longer than a chunk");
    TORCH_CHECK(!IsHashed(texts_[t]) || length % shape_.chunk_length == 0,
                "a hashed text must be padded to whole chunks, got ", length);
    slot_begin_.push_back(slot_begin_.back() +
                          (IsHashed(texts_[t]) ? int64_t{rounds} * length : 0));
    blocks_.resize(std::max<size_t>(blocks_.size(), rounds));
    const int32_t step = IsHashed(texts_[t]) ? slots_a_block : length;
    for (int32_t r = 0; r < rounds; ++r) {
      for (int32_t slot = 0; slot < length; slot += step)
        blocks_[r].push_back({t, r * length + slot, std::min(step, length - slot)});
    }
  }
  for (int64_t h = 0; h < heads_at_once_; ++h) {
    qkv_.push_back(at::empty({num_rows, 2, head_size}, type));
    buckets_.emplace_back(slot_begin_.back());
    slots_.emplace_back(slot_begin_.back());
  }
}

void LshAttention::Take(int64_t h, int64_t head, int64_t row_begin, const at::Tensor& qk,
                        const at::Tensor& v) {
  TORCH_CHECK(qk.scalar_type() == at::kFloat && qk.stride(1) == 1, "hashing takes float32 rows");
  Hash(h, head, row_begin, qk);
  const at::Tensor kept = qkv_[h].narrow(0, row_begin, qk.size(0));
  kept.select(1, 0).copy_(qk);
  kept.select(1, 1).copy_(v);
}

void LshAttention::Hash(int64_t h, int64_t head, int64_t row_begin, const at::Tensor& qk) {
  const int64_t row_end = row_begin + qk.size(0);
  auto text = std::upper_bound(texts_.begin(), texts_.end(), row_begin,
                               [](int64_t row, const Text& t) { return row < t.rows.row_begin; });
  for (text -= text != texts_.begin(); text != texts_.end() && text->rows.row_begin < row_end;
       ++text) {
    const int64_t begin = std::max(row_begin, text->rows.row_begin);
    const int64_t end = std::min(row_end, text->rows.row_begin + text->rows.length);
    if (!IsHashed(*text) || begin >= end) continue;
    const LshRotations& rotations = *text->rotations;
    kernels::LshHash({.x = qk.const_data_ptr<float>() + (begin - row_begin) * qk.stride(0),
                      .x_stride = qk.stride(0),
                      .rows = static_cast<int32_t>(end - begin),
                      .head_size = static_cast<int32_t>(head_size_),
                      .rotations = rotations.values.select(0, head).const_data_ptr<float>(),
                      .rotation_stride = rotations.values.size(2),
                      .num_hashes = rotations.num_hashes,
                      .factors = rotations.factors.data(),
                      .num_factors = static_cast<int32_t>(rotations.factors.size()),
                      .key_mask = key_mask_.empty() ? nullptr : key_mask_.data() + begin,
                      .buckets = buckets_[h].data() + slot_begin_[text - texts_.begin()] + begin -
                                 text->rows.row_begin,
                      .bucket_stride = text->rows.length});
  }
}

void LshAttention::Sort(int64_t num_heads) {
  struct Unit {
    int64_t h, begin;
    int32_t length, num_buckets;
  };
  std::vector<Unit> units;
  for (int64_t h = 0; h < num_heads; ++h) {
    for (size_t t = 0; t < texts_.size(); ++t) {
      const int32_t length = texts_[t].rows.length;
      for (int64_t begin = slot_begin_[t]; begin < slot_begin_[t + 1]; begin += length) {
        // One bucket more, for the tokens that are not read.
        units.push_back({h, begin, length, texts_[t].rotations->num_buckets + 1});
      }
    }
  }
  ParallelBlocks(static_cast<int64_t>(units.size()), [&](int64_t i) {
    const Unit& unit = units[i];
    kernels::LshSort(buckets_[unit.h].data() + unit.begin, unit.length, unit.num_buckets,
                     slots_[unit.h].data() + unit.begin);
  });
}

const int32_t* LshAttention::slots(int64_t h, const Block& block) const {
  return IsHashed(texts_[block.text])
             ? slots_[h].data() + slot_begin_[block.text] + block.first_slot
             : nullptr;
}

LshAttention::BlockTasks LshAttention::MakeTasks(int64_t h, const Block& block) const {
  const Text& text = texts_[block.text];
  const bool hashed = IsHashed(text);
  const int32_t C = hashed ? shape_.chunk_length : text.rows.length;
  // Of all rounds, since they form one circle.
  const int32_t num_chunks = hashed ? text.rotations->num_hashes * (text.rows.length / C) : 1;
  const int32_t before = hashed ? shape_.chunks_before : 0;
  const int32_t after = hashed ? shape_.chunks_after : 0;
  const int32_t keys = before + 1 + after;
  BlockTasks made;
  made.key_slots.resize(static_cast<size_t>(block.num_slots / C) * keys);
  for (int32_t slot = 0; slot < block.num_slots; slot += C) {
    int32_t* chunks = made.key_slots.data() + made.tasks.size() * keys;
    kernels::CircularChunks((block.first_slot + slot) / C, num_chunks, before, after, chunks);
    for (int32_t i = 0; i < keys; ++i) chunks[i] *= C;
    made.tasks.push_back({.query_slot = block.first_slot + slot,
                          .length = C,
                          .out_row = slot,
                          .num_key_chunks = keys,
                          .key_slots = chunks});
  }
  made.params = {.lsh = true,
                 .causal = shape_.causal,
                 .slot_rows = hashed ? slots_[h].data() + slot_begin_[block.text] : nullptr,
                 .key_mask = key_mask_.empty() ? nullptr : key_mask_.data() + text.rows.row_begin,
                 .tasks = made.tasks.data(),
                 .num_tasks = static_cast<int32_t>(made.tasks.size())};
  return made;
}

void LshAttention::Observe(int64_t h, int64_t head, AttentionObserver& observer) const {
  for (const std::vector<Block>& round : blocks_) {
    for (const Block& block : round) {
      const Text& text = texts_[block.text];
      const BlockTasks made = MakeTasks(h, block);
      if (!IsHashed(text)) {
        observer.OnLshChunks(head, made.params, nullptr);
        continue;
      }
      const LshOrder order = {.num_hashes = text.rotations->num_hashes,
                              .num_buckets = text.rotations->num_buckets,
                              .length = text.rows.length,
                              .buckets = buckets_[h].data() + slot_begin_[block.text],
                              .slots = slots_[h].data() + slot_begin_[block.text]};
      observer.OnLshChunks(head, made.params, &order);
    }
  }
}

void LshAttention::Attend(int64_t h, const Block& block, at::Tensor& out, float* lse) const {
  const BlockTasks made = MakeTasks(h, block);
  const int64_t part = head_size_ * qkv_[h].element_size();
  kernels::ChunkAttentionParams params = made.params;
  params.type = ElementTypeOf(qkv_[h]);
  params.q = params.k = static_cast<const char*>(qkv_[h].const_data_ptr()) +
                        texts_[block.text].rows.row_begin * 2 * part;
  params.v = static_cast<const char*>(params.q) + part;
  params.q_stride = params.k_stride = params.v_stride = 2 * head_size_;
  params.num_heads = 1;
  params.head_size = static_cast<int32_t>(head_size_);
  params.out_type = ElementTypeOf(out);
  params.out = out.data_ptr();
  params.out_stride = head_size_;
  params.lse = lse;
  kernels::ChunkAttention(params);
}

}  // namespace longspan
