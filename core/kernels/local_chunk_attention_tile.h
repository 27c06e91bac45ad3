// The loop nest behind ChunkAttention, for any vector width and for float32 or bfloat16 elements
// (local_chunk_attention_isa.h). Each instruction set includes it in one file of its own;
// everything is in an unnamed namespace, so that no code of one set leaks into another.
//
// The score tile lies on its side: S^T = K Q^T, of shape [keys, kRows] for kRows queries, has the
// queries along the vector lanes. Keys are used as they lie in memory (a number of K is broadcast
// against a vector of queries), the maximum and the sum of a query's softmax are plain lane-wise
// operations, and the masks compare one key's position with a vector of query positions.
//
// Keys and values are copied chunk by chunk, so that the rows of a bucket, which lie anywhere, are
// gathered once. A copied chunk stays in a small ring, because the next query chunk sees most of
// the same chunks. While a task computes, it prefetches the rows of the chunk that the next task
// will copy, one row for each group of keys.
//
//   task c sees the chunks {c-1, c}:  ring [c-1 | c]
//   task c+1 copies c+1 over c-1:     ring [c+1 | c]
//
// The stages for kRows queries:
//   1 scores   S^T with masks, and the maximum of each query;
//              micro tile [kGroupKeys, kQueryVectors vectors]
//   2 weights  exp(s - maximum), and their sum
//   3 values   O [kRows, D] = P V; micro tile [kValueRows, kValueVectors vectors]
//
// Cost, scratch, source and tests: local_chunk_attention.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/kernels/local_chunk_attention.h"
#include "core/kernels/local_chunk_attention_isa.h"
#include "core/kernels/scratch.h"
#include "core/kernels/softmax_constants.h"

namespace longspan::kernels {
namespace {

// The size of the next smaller micro tile, for what a larger one leaves over: 6, 4, 2, 1.
constexpr int Smaller(int count) { return count > 2 ? (count - 1) / 2 * 2 : 1; }

template <class Isa>
class ChunkAttentionTile {
  using V = typename Isa::V;
  using Float = typename V::Float;
  using Int = typename V::Int;
  using Element = typename Isa::Element;
  using Shape = ChunkTileShape<Isa::kLanes>;
  static constexpr int kLanes = Isa::kLanes;
  static constexpr int kPack = Isa::kPack;
  static constexpr int kRows = Shape::kRows;
  static constexpr int kVectors = kRows / kLanes;
  // Dimensions of the values that are computed together, so that they stay in the first-level
  // cache.
  static constexpr int kPanel = Shape::kValueVectors * kLanes;

 public:
  ChunkAttentionTile(const ChunkAttentionParams& params, Scratch& scratch) : p_(params) {
    int32_t length = 0;
    for (int32_t t = 0; t < p_.num_tasks; ++t) {
      length = std::max(length, p_.tasks[t].length);
      max_key_chunks_ = std::max(max_key_chunks_, p_.tasks[t].num_key_chunks);
    }
    capacity_ = PaddedKeys(length);
    depth_ = (p_.head_size + kPack - 1) / kPack;
    width_ = (p_.head_size + kLanes - 1) / kLanes * kLanes;
    scale_ = 1.0f / std::sqrt(static_cast<float>(p_.head_size));
    LayOut(scratch);
  }

  void Run() {
    for (head_ = 0; head_ < p_.num_heads; ++head_) {
      for (Chunk& chunk : ring_) chunk.slot = -1;
      for (int32_t t = 0; t < p_.num_tasks; ++t)
        RunTask(p_.tasks[t], t + 1 < p_.num_tasks ? &p_.tasks[t + 1] : nullptr);
    }
  }

 private:
  struct Chunk {
    int32_t slot = -1;  // first slot of what is copied here, -1 = nothing is
    int32_t length = 0;
    int32_t last_visible_from = 0;  // the largest of visible_from
    float* keys;                    // [capacity_, depth_] units
    float* values;                  // panels of [keys / kPack, kPanel] units, the last one narrower
    float* scale;                   // [capacity_] what a key's scores are multiplied by
    int32_t* position;              // [capacity_] of the key in its text
    int32_t* visible_from;          // [capacity_] queries at this position and later see the key
  };

  // An even number of keys, which makes whole units of values and whole micro tiles of 6, 4 and 2
  // keys.
  static int32_t PaddedKeys(int32_t length) { return (length + 1) / 2 * 2; }

  void LayOut(Scratch& scratch) {
    const auto lines = [](size_t floats) { return (floats + 15) / 16 * 16; };
    const size_t keys = lines(static_cast<size_t>(capacity_) * depth_);
    const size_t values = lines(static_cast<size_t>(capacity_ / kPack) * width_);
    const size_t flat = lines(capacity_);
    const size_t queries = static_cast<size_t>(depth_) * kRows;
    const size_t scores = static_cast<size_t>(capacity_) * max_key_chunks_ * kRows;
    float* next = scratch.Floats((keys + values + 3 * flat) * max_key_chunks_ + queries + scores);
    const auto take = [&next](size_t floats) {
      float* part = next;
      next += floats;
      return part;
    };
    ring_.resize(max_key_chunks_);
    used_.resize(max_key_chunks_);
    for (Chunk& chunk : ring_) {
      chunk.keys = take(keys);
      chunk.values = take(values);
      chunk.scale = take(flat);
      chunk.position = reinterpret_cast<int32_t*>(take(flat));
      chunk.visible_from = reinterpret_cast<int32_t*>(take(flat));
    }
    queries_ = take(queries);
    scores_ = take(scores);
  }

  int32_t Row(int32_t slot) const { return p_.slot_rows ? p_.slot_rows[slot] : slot; }
  int32_t Position(int32_t row) const { return p_.positions ? p_.positions[row] : row; }
  const Element* At(const void* base, int64_t stride, int32_t row) const {
    return static_cast<const Element*>(base) + row * stride +
           static_cast<int64_t>(head_) * p_.head_size;
  }

  void RunTask(const ChunkTask& task, const ChunkTask* next) {
    for (int32_t i = 0; i < task.num_key_chunks; ++i) used_[i] = nullptr;
    for (int32_t i = 0; i < task.num_key_chunks; ++i)
      used_[i] = Find(task.key_slots[i], task.length);
    for (int32_t i = 0; i < task.num_key_chunks; ++i) {
      if (used_[i]) continue;
      used_[i] = Find(task.key_slots[i], task.length);  // an equal neighbour was just copied
      if (!used_[i])
        Copy(*(used_[i] = Unused(task.num_key_chunks)), task.key_slots[i], task.length);
    }
    PlanPrefetch(next);
    for (int32_t first = 0; first < task.length; first += kRows) AttendRows(task, first);
  }

  Chunk* Find(int32_t slot, int32_t length) {
    for (Chunk& chunk : ring_) {
      if (chunk.slot == slot && chunk.length == length) return &chunk;
    }
    return nullptr;
  }

  Chunk* Unused(int32_t num_key_chunks) {
    for (Chunk& chunk : ring_) {
      bool used = false;
      for (int32_t i = 0; i < num_key_chunks; ++i) used |= used_[i] == &chunk;
      if (!used) return &chunk;
    }
    return nullptr;  // does not happen: the ring has as many chunks as a task has key chunks
  }

  void Copy(Chunk& chunk, int32_t slot, int32_t length) {
    chunk.slot = slot;
    chunk.length = length;
    chunk.last_visible_from = -1;
    for (int32_t i = 0; i < length; ++i) {
      const int32_t row = Row(slot + i);
      const bool read = !p_.key_mask || p_.key_mask[row];
      chunk.position[i] = Position(row);
      chunk.visible_from[i] = VisibleFrom(read, p_.causal, chunk.position[i]);
      chunk.last_visible_from = std::max(chunk.last_visible_from, chunk.visible_from[i]);
      const Element* key = At(p_.k, p_.k_stride, row);
      chunk.scale[i] = p_.lsh ? Isa::SumOfSquares(key, p_.head_size) : 0.0f;
      Isa::CopyRow(key, p_.head_size, chunk.keys + static_cast<size_t>(i) * depth_);
    }
    ScaleKeys(chunk);
    const int32_t keys = PaddedKeys(length), units = keys / kPack;
    for (int32_t i = length; i < keys; ++i)
      std::fill_n(chunk.keys + static_cast<size_t>(i) * depth_, depth_, 0.0f);
    for (int32_t unit = 0; unit < units; ++unit) {
      const Element* sources[2] = {};
      for (int j = 0; j < kPack; ++j) {
        const int32_t i = unit * kPack + j;
        sources[j] = i < length ? At(p_.v, p_.v_stride, Row(slot + i)) : nullptr;
      }
      for (int32_t d = 0; d < width_; d += kPanel) {
        const int32_t panel = std::min(kPanel, width_ - d);
        Isa::CopyValues(sources, d, p_.head_size, panel,
                        chunk.values + static_cast<size_t>(d) * units + unit * panel);
      }
    }
  }

  // The scale turns q·k into the score: 1 / sqrt(D), for LSH over the root of the key's mean square
  // as well. LSH keys so have norm about 1, while the query keeps its length, which acts as a
  // learned temperature.
  void ScaleKeys(Chunk& chunk) const {
    const float size = static_cast<float>(p_.head_size);
    for (int32_t i = 0; i < chunk.length; ++i)
      chunk.scale[i] = p_.lsh ? scale_ / std::sqrt(chunk.scale[i] / size + 1e-6f) : scale_;
    for (int32_t i = chunk.length; i < PaddedKeys(chunk.length); ++i) chunk.scale[i] = 0.0f;
  }

  // Chooses what PrefetchRow fetches: the rows of the first chunk of the next task that is not in
  // the ring yet. Rows that lie in order need none of it.
  void PlanPrefetch(const ChunkTask* next) {
    prefetch_slot_ = prefetch_end_ = 0;
    if (!next || !p_.slot_rows) return;
    for (int32_t i = 0; i < next->num_key_chunks; ++i) {
      if (Find(next->key_slots[i], next->length)) continue;
      prefetch_slot_ = next->key_slots[i];
      prefetch_end_ = prefetch_slot_ + next->length;
      return;
    }
  }
  void PrefetchRow() {
    if (prefetch_slot_ == prefetch_end_) return;
    const int32_t row = Row(prefetch_slot_++);
    const char* key = reinterpret_cast<const char*>(At(p_.k, p_.k_stride, row));
    const char* value = reinterpret_cast<const char*>(At(p_.v, p_.v_stride, row));
    for (size_t byte = 0; byte < p_.head_size * sizeof(Element); byte += 64) {
      __builtin_prefetch(key + byte);
      __builtin_prefetch(value + byte);
    }
  }

  void AttendRows(const ChunkTask& task, int32_t first) {
    num_rows_ = std::min(kRows, task.length - first);
    num_vectors_ = (num_rows_ + kLanes - 1) / kLanes;
    PackQueries(task, first);
    for (int v = 0; v < num_vectors_; ++v)
      maximum_[v] = V::Set(-std::numeric_limits<float>::infinity());
    const int32_t keys = PaddedKeys(task.length);
    for (int32_t i = 0; i < task.num_key_chunks; ++i) {
      const Chunk& chunk = *used_[i];
      float* scores = scores_ + static_cast<size_t>(i) * keys * kRows;
      const bool masked =
          p_.lsh || chunk.last_visible_from > first_position_ || chunk.length != keys;
      masked ? Scores<Shape::kGroupKeys, true>(chunk, 0, keys, scores)
             : Scores<Shape::kGroupKeys, false>(chunk, 0, keys, scores);
    }
    for (int v = 0; v < num_vectors_; ++v)
      Weigh(keys * task.num_key_chunks, v, task.out_row + first);
    for (int32_t d = 0; d < width_; d += kPanel) {
      p_.out_type == ElementType::kFloat32 ? Values<Shape::kValueRows, float>(task, first, 0, d)
                                           : Values<Shape::kValueRows, BFloat16>(task, first, 0, d);
    }
  }

  // Q^T of the block, [depth_, kRows] units, by transposing kLanes rows at a time. Lanes behind the
  // last row repeat it.
  void PackQueries(const ChunkTask& task, int32_t first) {
    first_position_ = std::numeric_limits<int32_t>::max();
    for (int32_t r = 0; r < num_vectors_ * kLanes; r += kLanes) {
      const Element* source[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const int32_t row = Row(task.query_slot + first + std::min(r + i, num_rows_ - 1));
        source[i] = At(p_.q, p_.q_stride, row);
        query_position_[r + i] = Position(row);
        first_position_ = std::min(first_position_, query_position_[r + i]);
      }
      int32_t d = 0;
      for (; d + kLanes <= p_.head_size / kPack; d += kLanes) {
        Float rows[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i)
          rows[i] = V::Load(reinterpret_cast<const float*>(source[i] + d * kPack));
        V::Transpose(rows);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i)
          V::Store(queries_ + static_cast<size_t>(d + i) * kRows + r, rows[i]);
      }
      for (; d < depth_; ++d) {
        for (int i = 0; i < kLanes; ++i) {
          float unit = 0;
          std::memcpy(&unit, source[i] + d * kPack,
                      std::min(kPack, p_.head_size - d * kPack) * sizeof(Element));
          queries_[static_cast<size_t>(d) * kRows + r + i] = unit;
        }
      }
    }
  }

  // Stage 1 for the keys [key, end) of a chunk: groups of kKeys, then smaller ones for the rest.
  template <int kKeys, bool kMasks>
  void Scores(const Chunk& chunk, int32_t key, int32_t end, float* scores) {
    for (; key + kKeys <= end; key += kKeys) {
      PrefetchRow();
      int v = 0;
      for (; v + Shape::kQueryVectors <= num_vectors_; v += Shape::kQueryVectors)
        ScoreTile<kKeys, Shape::kQueryVectors, kMasks>(chunk, key, v, scores);
      for (; v < num_vectors_; ++v) ScoreTile<kKeys, 1, kMasks>(chunk, key, v, scores);
    }
    if constexpr (kKeys > 2) Scores<Smaller(kKeys), kMasks>(chunk, key, end, scores);
  }

  template <int kKeys, int kCount, bool kMasks>
  void ScoreTile(const Chunk& chunk, int32_t key, int first_vector, float* scores) {
    Float s[kKeys][kCount] = {};
    const float* keys = chunk.keys + static_cast<size_t>(key) * depth_;
    const float* queries = queries_ + first_vector * kLanes;
    for (int32_t d = 0; d < depth_; ++d, queries += kRows) {
      Float q[kCount];
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) q[v] = V::Load(queries + v * kLanes);
#pragma GCC unroll 8
      for (int g = 0; g < kKeys; ++g) {
        const Float k = V::Set(keys[static_cast<size_t>(g) * depth_ + d]);
#pragma GCC unroll 4
        for (int v = 0; v < kCount; ++v) s[g][v] = Isa::Dot(s[g][v], q[v], k);
      }
    }
    scores += static_cast<size_t>(key) * kRows + first_vector * kLanes;
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      const Int position = V::Load(query_position_ + (first_vector + v) * kLanes);
      Float maximum = maximum_[first_vector + v];
#pragma GCC unroll 8
      for (int g = 0; g < kKeys; ++g) {
        Float score = s[g][v] * chunk.scale[key + g];
        if constexpr (kMasks) score = Mask(score, chunk, key + g, position);
        maximum = V::Max(maximum, score);
        V::Store(scores + static_cast<size_t>(g) * kRows + v * kLanes, score);
      }
      maximum_[first_vector + v] = maximum;
    }
  }

  // The rules of local_chunk_attention.h for one key and the queries at `position`. A key behind
  // the last one of a chunk of odd length scores lower than any of them gives.
  Float Mask(Float score, const Chunk& chunk, int32_t key, Int position) const {
    if (key >= chunk.length) return V::Set(kHiddenScore);
    score = position < chunk.visible_from[key] ? V::Set(-1e9f) : score;
    return p_.lsh ? (position == chunk.position[key] ? V::Set(-1e5f) : score) : score;
  }

  // Stage 2 for one vector of queries: scores become units of exp(s - maximum). Multiplied by
  // factor_ = exp(maximum - z) these are the probabilities exp(s - z) with z rounded to float32:
  // maximum and z are close, so their difference is exact.
  void Weigh(int32_t num_keys, int v, int32_t out_row) {
    const Float maximum = maximum_[v];
    Float sum = {};
    const float* scores = scores_ + v * kLanes;
    float* weights = scores_ + v * kLanes;
    for (int32_t key = 0; key < num_keys;
         key += 2, scores += 2 * kRows, weights += 2 / kPack * kRows) {
      const Float p0 = V::ExpNonPositive(V::Load(scores) - maximum);
      const Float p1 = V::ExpNonPositive(V::Load(scores + kRows) - maximum);
      sum += p0;
      sum += p1;
      if constexpr (kPack == 1) {
        V::Store(weights, p0);
        V::Store(weights + kRows, p1);
      } else {
        V::Store(weights, Isa::PackWeights({p0, p1}));
      }
    }
    const Float z = maximum + V::Log(sum);
    V::Store(factor_ + v * kLanes, V::ExpNonPositive(maximum - z));
    if (!p_.lse) return;
    for (int i = 0; i < std::min(kLanes, num_rows_ - v * kLanes); ++i)
      p_.lse[static_cast<int64_t>(out_row + v * kLanes + i) * p_.num_heads + head_] = z[i];
  }

  // Stage 3 for the rows [row, num_rows_) and the panel that begins at dimension d: tiles of
  // kTileRows rows, then smaller ones for the rest.
  template <int kTileRows, class Out>
  void Values(const ChunkTask& task, int32_t first, int row, int32_t d) {
    const int32_t panel = std::min(kPanel, width_ - d);
    for (; row + kTileRows <= num_rows_; row += kTileRows) {
      if (panel == kPanel) {
        ValueTile<kTileRows, Shape::kValueVectors, Out>(task, first, row, d, kPanel, 0);
      } else {
        for (int32_t i = 0; i < panel; i += kLanes)
          ValueTile<kTileRows, 1, Out>(task, first, row, d, panel, i);
      }
    }
    if constexpr (kTileRows > 1) Values<Smaller(kTileRows), Out>(task, first, row, d);
  }

  // One tile of kCount vectors, from dimension `begin` of the panel on.
  template <int kTileRows, int kCount, class Out>
  void ValueTile(const ChunkTask& task, int32_t first, int row, int32_t d, int32_t panel,
                 int32_t begin) {
    Float sum[kTileRows][kCount] = {};
    const float* weights = scores_ + row;
    const int32_t units = PaddedKeys(task.length) / kPack;
    for (int32_t i = 0; i < task.num_key_chunks; ++i) {
      const float* values = used_[i]->values + static_cast<size_t>(d) * units + begin;
      for (int32_t unit = 0; unit < units; ++unit, weights += kRows, values += panel) {
        Float value[kCount];
#pragma GCC unroll 4
        for (int v = 0; v < kCount; ++v) value[v] = V::Load(values + v * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kTileRows; ++r) {
          const Float p = V::Set(weights[r]);
#pragma GCC unroll 4
          for (int v = 0; v < kCount; ++v) sum[r][v] = Isa::Dot(sum[r][v], value[v], p);
        }
      }
    }
    d += begin;
    Out* target = static_cast<Out*>(p_.out) + (task.out_row + first + row) * p_.out_stride +
                  static_cast<int64_t>(head_) * p_.head_size + d;
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r, target += p_.out_stride) {
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v)
        Isa::StoreSome(target + v * kLanes, sum[r][v] * factor_[row + r],
                       p_.head_size - d - v * kLanes);
    }
  }

  const ChunkAttentionParams& p_;
  int32_t head_ = 0;
  int32_t max_key_chunks_ = 0;
  int32_t capacity_ = 0;  // keys of a copied chunk
  int32_t depth_ = 0;     // units of a query or key
  int32_t width_ = 0;     // head size, rounded up to whole vectors
  float scale_ = 1.0f;    // 1 / sqrt(D)
  std::vector<Chunk> ring_;
  std::vector<Chunk*> used_;   // the chunks of the task at hand, in the order of its keys
  int32_t prefetch_slot_ = 0;  // slots [prefetch_slot_, prefetch_end_) are still to be prefetched
  int32_t prefetch_end_ = 0;

  // The block of queries at hand.
  int32_t num_rows_ = 0;
  int32_t num_vectors_ = 0;
  int32_t first_position_ = 0;  // the smallest position among them
  alignas(64) int32_t query_position_[kRows];
  alignas(64) float factor_[kRows];
  Float maximum_[kVectors];
  float* queries_ = nullptr;  // [depth_, kRows] units
  // [keys, kRows] scores, which stage 2 overwrites with the weights, [keys / kPack, kRows] units.
  float* scores_ = nullptr;
};

template <class Isa>
void RunChunkTasks(const ChunkAttentionParams& params) {
  thread_local Scratch scratch;
  ChunkAttentionTile<Isa>(params, scratch).Run();
}

}  // namespace
}  // namespace longspan::kernels
