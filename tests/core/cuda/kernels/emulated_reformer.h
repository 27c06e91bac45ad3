// Layers of Reformer on the emulated device, for tests: random texts, the calls of lsh_kernels.h in
// their order, and what the reference (tests/reference/lsh_attention.h) says about the same texts.
// Included behind the emulation.
#pragma once

#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/kernels/lsh_kernels.h"
#include "tests/core/cuda/kernels/emulated_ampere.h"
#include "tests/core/cuda/kernels/guarded_array.h"
#include "tests/reference/lsh_attention.h"

namespace longspan::cuda {

struct ReformerLayer {
  std::string name;
  std::vector<int> lengths;  // of the texts, padded
  int heads = 1;
  int head_size = 64;
  int rounds = 1;
  int chunk_length = 64;
  int before = 1;
  int after = 0;
  bool causal = false;
  bool masked = false;
  std::vector<int> factors;  // empty = a local layer
  HashInput input = HashInput::kFloat32;
  HashUnits units = HashUnits::kTensorCores;

  bool is_lsh() const { return !factors.empty(); }
};

inline int SumOf(const std::vector<int>& values) {
  return std::accumulate(values.begin(), values.end(), 0);
}

inline BucketFactors ToFactors(const std::vector<int>& factors) {
  BucketFactors made;
  made.num_factors = static_cast<int32_t>(factors.size());
  std::copy(factors.begin(), factors.end(), made.factors);
  return made;
}

// A batch of random texts. q, k and v lie in one row, as a projection leaves them, with something
// behind; an LSH layer reads q as its keys. Its members are what the kernels read and write.
class EmulatedReformer {
 public:
  explicit EmulatedReformer(const ReformerLayer& layer)
      : layer_(layer),
        rows_(SumOf(layer.lengths)),
        width_(layer.heads * layer.head_size),
        stride_(3 * width_ + 8),
        exact_(Normals(static_cast<size_t>(rows_) * stride_)),
        rotations_(Normals(static_cast<size_t>(width_) * layer.rounds * SumOf(layer.factors) / 2)),
        text_begin_(RunningSums(layer.lengths)),
        chunk_begin_(RunningSums(ChunkCounts())),
        row_text(static_cast<size_t>(rows_)),
        chunks(static_cast<size_t>(SumOf(ChunkCounts()))),
        x32(exact_),
        qkv(Rounded(exact_)),
        mask(Mask()),
        keys(slots()),
        order(slots()),
        lse(slots()),
        out(static_cast<size_t>(rows_) * out_stride()) {
    ChunkPlanParams plan;
    plan.text_begin = text_begin_.data();
    plan.chunk_begin = chunk_begin_.data();
    plan.num_texts = num_texts();
    plan.num_rows = rows_;
    plan.row_text = row_text.data();
    plan.chunks = chunks.data();
    status = PlanChunks(plan, nullptr);
  }

  void Hash() {
    PackRotationsParams pack;
    pack.num_heads = layer_.heads;
    pack.head_size = layer_.head_size;
    pack.num_rounds = layer_.rounds;
    pack.factors = ToFactors(layer_.factors);
    pack.units = layer_.units;
    GuardedArray<uint8_t> packed(static_cast<size_t>(PackedRotationBytes(pack)));
    const GuardedArray<float> rotations(rotations_);
    pack.rotations = rotations.data();
    pack.packed = packed.data();
    Note(PackRotations(pack, nullptr));
    LshHashParams hash;
    hash.x = layer_.input == HashInput::kBfloat16 ? static_cast<const void*>(qkv.data())
                                                  : static_cast<const void*>(x32.data());
    hash.x_stride = stride_;
    hash.input = layer_.input;
    hash.units = layer_.units;
    hash.rotations = packed.data();
    hash.key_mask = key_mask();
    hash.text_begin = text_begin_.data();
    hash.row_text = row_text.data();
    hash.keys = keys.data();
    hash.num_rows = rows_;
    hash.num_heads = layer_.heads;
    hash.head_size = layer_.head_size;
    hash.num_rounds = layer_.rounds;
    hash.num_texts = num_texts();
    hash.chunk_length = layer_.chunk_length;
    hash.factors = pack.factors;
    Note(LshHash(hash, nullptr));
  }

  void Sort() {
    GuardedArray<int32_t> rows(slots());
    Note(RowsOfSlots(rows.data(), static_cast<int64_t>(slots()), rows_, nullptr));
    GuardedArray<uint32_t> sorted(slots());
    LshSortParams sort;
    sort.keys = keys.data();
    sort.rows = rows.data();
    sort.sorted_keys = sorted.data();
    sort.order = order.data();
    sort.count = static_cast<int64_t>(slots());
    sort.bits = SortKeyBits(num_sort_keys());
    Note(LshSortScratch(sort.count, sort.bits, &sort.scratch_bytes));
    GuardedArray<uint8_t> scratch(sort.scratch_bytes);
    sort.scratch = scratch.data();
    Note(LshSort(sort, nullptr));
  }

  // Attention and, of several rounds, their merge.
  void Attend() {
    const size_t head_size = static_cast<size_t>(layer_.head_size);
    GuardedArray<uint16_t> parts(layer_.rounds > 1 ? slots() * head_size : 0);
    ChunkAttentionParams attention = Attention();
    if (layer_.rounds > 1) {
      attention.out = parts.data();
      attention.out_head_stride = layer_.rounds * layer_.head_size;
      attention.out_row_stride = layer_.heads * attention.out_head_stride;
    }
    Note(ChunkAttention(attention, nullptr));
    if (layer_.rounds == 1) return;
    LshMergeParams merge;
    merge.parts = parts.data();
    merge.lse = lse.data();
    merge.out = out.data();
    merge.out_stride = out_stride();
    merge.num_rows = rows_;
    merge.num_heads = layer_.heads;
    merge.num_rounds = layer_.rounds;
    merge.head_size = layer_.head_size;
    Note(LshMerge(merge, nullptr));
  }

  // The whole layer.
  void Run() {
    if (layer_.is_lsh()) {
      Hash();
      Sort();
    }
    Attend();
  }

  // Of one round.
  ChunkAttentionParams Attention() {
    ChunkAttentionParams p;
    p.q = qkv.data();
    p.k = qkv.data() + (layer_.is_lsh() ? 0 : width_);
    p.v = qkv.data() + 2 * width_;
    p.q_stride = p.k_stride = p.v_stride = stride_;
    p.order = layer_.is_lsh() ? order.data() : nullptr;
    p.key_mask = key_mask();
    p.text_begin = text_begin_.data();
    p.chunks = chunks.data();
    p.num_chunks = static_cast<int32_t>(chunks.size());
    p.num_rows = rows_;
    p.num_heads = layer_.heads;
    p.head_size = layer_.head_size;
    p.num_rounds = layer_.rounds;
    p.chunk_length = layer_.chunk_length;
    p.chunks_before = layer_.before;
    p.chunks_after = layer_.after;
    p.causal = layer_.causal;
    p.out = out.data();
    p.out_row_stride = out_stride();
    p.out_head_stride = layer_.head_size;
    p.lse = lse.data();
    return p;
  }

  // ---- what the reference takes ----

  reference::ChunkedText Text(int text) const {
    reference::ChunkedText t;
    t.length = layer_.lengths[static_cast<size_t>(text)];
    t.head_size = layer_.head_size;
    t.chunk_length = layer_.chunk_length;
    t.chunks_before = layer_.before;
    t.chunks_after = layer_.after;
    t.causal = layer_.causal;
    t.read.assign(static_cast<size_t>(t.length), 1);
    if (layer_.masked) std::copy_n(mask.data() + begin(text), t.length, t.read.begin());
    return t;
  }
  // [length * D] of a head: `what` is 0 for q, 1 for k, 2 for v.
  std::vector<float> Values(int text, int head, int what) const {
    return Columns(
        text, (what == 1 && layer_.is_lsh() ? 0 : what) * width_ + head * layer_.head_size, true);
  }
  // What was hashed.
  std::vector<float> Hashed(int text, int head) const {
    return Columns(text, head * layer_.head_size, layer_.input == HashInput::kBfloat16);
  }
  // [D, columns] of a head.
  std::vector<float> Rotations(int head) const {
    const auto size = static_cast<std::ptrdiff_t>(rotations_.size()) / layer_.heads;
    return {rotations_.begin() + head * size, rotations_.begin() + (head + 1) * size};
  }
  // [rounds * length], of the keys.
  std::vector<int> Buckets(int text, int head) const {
    std::vector<int> buckets;
    for (int round = 0; round < layer_.rounds; ++round) {
      for (int t = 0; t < layer_.lengths[static_cast<size_t>(text)]; ++t) {
        buckets.push_back(static_cast<int>(keys[slot(head, round, begin(text) + t)] %
                                           static_cast<uint32_t>(buckets_a_round())));
      }
    }
    return buckets;
  }

  int num_texts() const { return static_cast<int>(layer_.lengths.size()); }
  int num_rows() const { return rows_; }
  int begin(int text) const { return text_begin_[static_cast<size_t>(text)]; }
  int out_stride() const { return width_ + 8; }
  int buckets_a_round() const {
    return BucketsARound(NumBuckets(ToFactors(layer_.factors)), layer_.masked);
  }
  uint64_t num_sort_keys() const {
    return NumSortKeys(layer_.heads, layer_.rounds, num_texts(), buckets_a_round());
  }
  size_t slot(int head, int round, int row) const {
    return static_cast<size_t>((head * layer_.rounds + round) * rows_ + row);
  }

 private:
  static std::vector<float> Normals(size_t count) {
    std::mt19937 random(static_cast<unsigned>(count));
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& x : values) x = normal(random);
    return values;
  }
  static std::vector<uint16_t> Rounded(const std::vector<float>& values) {
    std::vector<uint16_t> rounded;
    for (const float x : values) rounded.push_back(ToBfloat16(x));
    return rounded;
  }
  static std::vector<int32_t> RunningSums(const std::vector<int>& values) {
    std::vector<int32_t> sums{0};
    for (const int x : values) sums.push_back(sums.back() + x);
    return sums;
  }
  std::vector<int> ChunkCounts() const {
    std::vector<int> counts;
    for (const int length : layer_.lengths) {
      counts.push_back(NumChunks(length, layer_.chunk_length));
    }
    return counts;
  }
  // Padding behind each text, and holes.
  std::vector<uint8_t> Mask() const {
    std::mt19937 random(7);
    std::vector<uint8_t> read;
    for (const int length : layer_.lengths) {
      const int end = length - static_cast<int>(random() % static_cast<unsigned>(length));
      for (int t = 0; t < length; ++t) read.push_back(t < end && random() % 16 != 0);
    }
    return read;
  }
  std::vector<float> Columns(int text, int first, bool rounded) const {
    std::vector<float> values;
    for (int t = 0; t < layer_.lengths[static_cast<size_t>(text)]; ++t) {
      for (int d = 0; d < layer_.head_size; ++d) {
        const size_t i = static_cast<size_t>(begin(text) + t) * stride_ + first + d;
        values.push_back(rounded ? LowBfloat16(qkv[i]) : exact_[i]);
      }
    }
    return values;
  }
  const uint8_t* key_mask() const { return layer_.masked ? mask.data() : nullptr; }
  size_t slots() const { return static_cast<size_t>(layer_.heads) * layer_.rounds * rows_; }
  // Keeps the first error.
  void Note(cudaError_t error) {
    if (status == cudaSuccess) status = error;
  }

  const ReformerLayer layer_;
  const int rows_;
  const int width_;
  const int stride_;
  const std::vector<float> exact_;
  const std::vector<float> rotations_;
  const GuardedArray<int32_t> text_begin_;
  const GuardedArray<int32_t> chunk_begin_;

 public:
  cudaError_t status = cudaSuccess;
  GuardedArray<int32_t> row_text;
  GuardedArray<ChunkOfText> chunks;
  GuardedArray<float> x32;
  GuardedArray<uint16_t> qkv;
  GuardedArray<uint8_t> mask;
  GuardedArray<uint32_t> keys;
  GuardedArray<int32_t> order;
  GuardedArray<float> lse;
  GuardedArray<uint16_t> out;
};

}  // namespace longspan::cuda
