// The loop nest behind ChunkAttention and LshHash, for vectors of kLanes floats (GCC vector types). Each instruction set
// includes it in one file of its own; everything is in an unnamed namespace, so that no code of one set leaks into another.
//
// Keys are packed chunk by chunk: K transposed [D, C] so that one vector holds one dimension of kLanes keys, V as it is [C, D].
// A packed chunk stays in a small ring, because the next query chunk sees most of the same chunks: with one chunk before,
// packing costs one chunk a task instead of two.
//
//   task c sees chunks {c-1, c}:   ring [c-1 | c]    ->   task c+1 packs c+1 over c-1:   ring [c+1 | c]
//
// Rows of queries go kRows at a time: scores [kRows, keys] (mask and maximum while they are still in registers), one exp pass,
// then values [kRows, D] from the same micro kernel: acc[r] += a[r][i] * B[i], 2 vectors of B wide.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "core/kernels/local_chunk_attention.h"

namespace longspan::kernels {
namespace {

// Vector types of 4 lanes (SSE2, NEON) and 16 lanes (AVX-512).
template <int kLanes>
struct VectorTypes;
template <>
struct VectorTypes<4> {
  typedef float Float __attribute__((vector_size(16)));
  typedef int32_t Int __attribute__((vector_size(16)));
};
template <>
struct VectorTypes<16> {
  typedef float Float __attribute__((vector_size(64)));
  typedef int32_t Int __attribute__((vector_size(64)));
};

template <int kLanes>
struct Vector {
  using Float = typename VectorTypes<kLanes>::Float;
  using Int = typename VectorTypes<kLanes>::Int;

  static Float Load(const float* p) {
    Float v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static Int Load(const int32_t* p) {
    Int v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void Store(float* p, Float v) { std::memcpy(p, &v, sizeof v); }
  static Float Set(float x) { return Float{} + x; }
  static Float Max(Float a, Float b) { return a > b ? a : b; }
  static Float Min(Float a, Float b) { return a < b ? a : b; }
  static float ReduceMax(Float v) {
    float best = v[0];
    for (int i = 1; i < kLanes; ++i) best = v[i] > best ? v[i] : best;
    return best;
  }
  static float ReduceMin(Float v) {
    float best = v[0];
    for (int i = 1; i < kLanes; ++i) best = v[i] < best ? v[i] : best;
    return best;
  }
  static float ReduceAdd(Float v) {
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) v[i] += v[i + half];
    }
    return v[0];
  }

  // e^x for x <= 0 to about 1e-7; 0 below -87.3 (the smallest normal float). 2^n * 2^f with |f| <= 1/2, degree 6.
  static Float ExpNonPositive(Float x) {
    const Float clamped = Max(x, Set(-87.3365f));
    const Float shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer in the low bits
    const Float n = shifted - 12582912.0f;
    const Float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
    Float p = r * 1.98756915e-4f + 1.39819994e-3f;
    p = p * r + 8.33345205e-3f;
    p = p * r + 4.16657962e-2f;
    p = p * r + 1.66666654e-1f;
    p = p * r + 5.00000000e-1f;
    p = p * r * r + r + 1.0f;
    const Int exponent = (__builtin_convertvector(n, Int) + 127) << 23;
    Float power;
    std::memcpy(&power, &exponent, sizeof power);
    return x < -87.3365f ? Float{} : p * power;
  }

  // Rows become columns in log2(kLanes) steps of two-input shuffles: step s exchanges lane bit s with row bit s.
  static void Transpose(Float (&rows)[kLanes]) {
    TransposeStep<1>(rows, std::make_integer_sequence<int, kLanes>());
    TransposeStep<2>(rows, std::make_integer_sequence<int, kLanes>());
    if constexpr (kLanes == 16) {
      TransposeStep<4>(rows, std::make_integer_sequence<int, kLanes>());
      TransposeStep<8>(rows, std::make_integer_sequence<int, kLanes>());
    }
  }

  template <int kStep, int... kLane>
  static void TransposeStep(Float (&rows)[kLanes], std::integer_sequence<int, kLane...>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i & kStep) continue;
      const Float a = rows[i], b = rows[i + kStep];
      rows[i] = __builtin_shufflevector(a, b, ((kLane & kStep) ? kLanes + kLane - kStep : kLane)...);
      rows[i + kStep] = __builtin_shufflevector(a, b, ((kLane & kStep) ? kLanes + kLane : kLane + kStep)...);
    }
  }
};

// acc[r][v] += sum_i a[r][i] * b[i * b_stride + v * kLanes],  i < depth.
template <int kLanes, int kRows, int kVectors>
inline void MultiplyAdd(const float* const* a, const float* b, int64_t b_stride, int depth,
                        typename Vector<kLanes>::Float (&acc)[kRows][kVectors]) {
  using V = Vector<kLanes>;
  const float* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = a[r];
  for (int i = 0; i < depth; ++i, b += b_stride) {
    typename V::Float column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) column[v] = V::Load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const typename V::Float x = V::Set(rows[r][i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] += x * column[v];
    }
  }
}

// Scratch of one thread that only grows; 64-byte aligned.
class Scratch {
 public:
  float* Floats(size_t count) {
    if (count > size_) {
      buffer_.reset(static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64)));
      size_ = count;
    }
    return buffer_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> buffer_;
  size_t size_ = 0;
};

template <int kLanes, int kRows>
class ChunkAttentionTile {
  using V = Vector<kLanes>;
  using Float = typename V::Float;
  using Int = typename V::Int;

 public:
  ChunkAttentionTile(const ChunkAttentionParams& params, Scratch& scratch) : p_(params) {
    int32_t length = 0;
    for (int32_t t = 0; t < p_.num_tasks; ++t) {
      length = std::max(length, p_.tasks[t].length);
      max_keys_ = std::max(max_keys_, p_.tasks[t].num_key_chunks);
    }
    const auto round_up = [](int32_t n) { return (n + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes); };
    width_ = round_up(length);
    depth_ = round_up(p_.head_size);
    scale_ = 1.0f / std::sqrt(static_cast<float>(p_.head_size));
    LayOut(scratch);
  }

  void Run() {
    for (int32_t h = 0; h < p_.num_heads; ++h) {
      for (Chunk& chunk : ring_) chunk.slot = -1;
      for (int32_t t = 0; t < p_.num_tasks; ++t) RunTask(p_.tasks[t], h);
    }
  }

 private:
  struct Chunk {
    int32_t slot = -1;  // first slot packed here, -1 = none
    int32_t length = 0;
    float* keys;            // [head_size, width_]
    float* values;          // [width_, depth_]
    int32_t* position;      // [width_] in the text
    int32_t* visible_from;  // [width_] queries at this position and later see the key
  };

  void LayOut(Scratch& scratch) {
    const size_t chunk_floats = static_cast<size_t>(width_) * (depth_ + depth_ + 2);
    float* next = scratch.Floats(chunk_floats * max_keys_ + static_cast<size_t>(kRows) * width_ * max_keys_);
    ring_.resize(max_keys_);
    used_.resize(max_keys_);
    for (Chunk& chunk : ring_) {
      chunk.keys = next;
      chunk.values = chunk.keys + static_cast<size_t>(width_) * depth_;
      chunk.position = reinterpret_cast<int32_t*>(chunk.values + static_cast<size_t>(width_) * depth_);
      chunk.visible_from = chunk.position + width_;
      next += chunk_floats;
    }
    scores_ = next;
  }

  int32_t Row(int32_t slot) const { return p_.slot_rows ? p_.slot_rows[slot] : slot; }
  int32_t Position(int32_t row) const { return p_.positions ? p_.positions[row] : row; }

  void RunTask(const ChunkTask& task, int32_t head) {
    for (int32_t i = 0; i < task.num_key_chunks; ++i) used_[i] = nullptr;
    for (int32_t i = 0; i < task.num_key_chunks; ++i) used_[i] = Find(task.key_slots[i], task.length);
    for (int32_t i = 0; i < task.num_key_chunks; ++i) {
      if (used_[i]) continue;
      used_[i] = Find(task.key_slots[i], task.length);  // packed just now for an equal neighbour
      if (!used_[i]) Pack(*(used_[i] = Unused(task.num_key_chunks)), task.key_slots[i], task.length, head);
    }
    int32_t row = 0;
    for (; row + kRows <= task.length; row += kRows) AttendRows<kRows>(task, row, head);
    for (; row < task.length; ++row) AttendRows<1>(task, row, head);
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
    return nullptr;  // cannot be: the ring has as many chunks as a task has keys
  }

  void Pack(Chunk& chunk, int32_t slot, int32_t length, int32_t head) {
    chunk.slot = slot;
    chunk.length = length;
    for (int32_t i = 0; i < width_; ++i) {
      const int32_t row = i < length ? Row(slot + i) : 0;
      const bool read = !p_.key_mask || p_.key_mask[row];
      chunk.position[i] = i < length ? Position(row) : -1;
      chunk.visible_from[i] = !read ? std::numeric_limits<int32_t>::max() : p_.causal ? chunk.position[i] : -1;
      if (i < length)
        PackValue(p_.v + row * p_.v_stride + static_cast<int64_t>(head) * p_.head_size,
                  chunk.values + static_cast<size_t>(i) * depth_);
    }
    for (int32_t i = 0; i < width_; i += kLanes) PackKeys(chunk, slot, i, length, head);
  }

  void PackValue(const float* source, float* target) const {
    std::memcpy(target, source, p_.head_size * sizeof(float));
    std::memset(target + p_.head_size, 0, (depth_ - p_.head_size) * sizeof(float));
  }

  // Keys [begin, begin + kLanes) of the chunk, scaled, transposed into the chunk's columns.
  void PackKeys(Chunk& chunk, int32_t slot, int32_t begin, int32_t length, int32_t head) const {
    const float* source[kLanes];
    float scale[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      const int32_t i = begin + lane;
      source[lane] = i < length
                         ? p_.k + static_cast<int64_t>(Row(slot + i)) * p_.k_stride + static_cast<int64_t>(head) * p_.head_size
                         : nullptr;
      scale[lane] = source[lane] ? KeyScale(source[lane]) : 0.0f;
    }
    for (int32_t d = 0; d < p_.head_size; d += kLanes) {
      Float rows[kLanes];
      const int32_t dims = std::min(kLanes, p_.head_size - d);
      for (int lane = 0; lane < kLanes; ++lane)
        rows[lane] = source[lane] ? LoadSome(source[lane] + d, dims) * scale[lane] : Float{};
      V::Transpose(rows);
      for (int32_t j = 0; j < dims; ++j) V::Store(chunk.keys + static_cast<size_t>(d + j) * width_ + begin, rows[j]);
    }
  }

  static Float LoadSome(const float* source, int32_t count) {
    if (count == kLanes) return V::Load(source);
    Float v = {};
    std::memcpy(&v, source, count * sizeof(float));
    return v;
  }

  // LSH keys have norm about 1 (mean square 1, over sqrt(D)); the raw query's length then acts as a learned temperature.
  float KeyScale(const float* key) const {
    if (!p_.lsh) return scale_;
    Float squares = {};
    for (int32_t d = 0; d < p_.head_size; d += kLanes) {
      const Float x = LoadSome(key + d, std::min(kLanes, p_.head_size - d));
      squares += x * x;
    }
    return scale_ / std::sqrt(V::ReduceAdd(squares) / static_cast<float>(p_.head_size) + 1e-6f);
  }

  template <int kCount>
  void AttendRows(const ChunkTask& task, int32_t first, int32_t head) {
    const float* q[kCount];
    int32_t position[kCount];
    Float maximum[kCount];
    for (int r = 0; r < kCount; ++r) {
      const int32_t row = Row(task.query_slot + first + r);
      q[r] = p_.q + row * p_.q_stride + static_cast<int64_t>(head) * p_.head_size;
      position[r] = Position(row);
      maximum[r] = V::Set(-std::numeric_limits<float>::infinity());
    }
    for (int32_t i = 0; i < task.num_key_chunks; ++i) Scores<kCount>(*used_[i], i, q, position, maximum);
    const int64_t row_stride = static_cast<int64_t>(width_) * max_keys_;
    float factor[kCount];
    for (int r = 0; r < kCount; ++r) {
      const float z = ExpRow(scores_ + r * row_stride, task, V::ReduceMax(maximum[r]), factor[r]);
      if (p_.lse) p_.lse[static_cast<int64_t>(task.out_row + first + r) * p_.num_heads + head] = z;
    }
    Values<kCount>(task, first, head, factor);
  }

  // Scores of kCount rows against one packed chunk, masked, with the running maximum of each row.
  template <int kCount>
  void Scores(const Chunk& chunk, int32_t index, const float* const* q, const int32_t* position, Float* maximum) {
    const int64_t row_stride = static_cast<int64_t>(width_) * max_keys_;
    const int32_t columns = Columns(chunk.length);
    for (int32_t c = 0; c < columns; c += 2 * kLanes) {
      Float acc[kCount][2] = {};
      MultiplyAdd<kLanes, kCount, 2>(q, chunk.keys + c, width_, p_.head_size, acc);
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const int32_t begin = c + v * kLanes;
        const Int key = V::Load(chunk.position + begin), from = V::Load(chunk.visible_from + begin);
        for (int r = 0; r < kCount; ++r) {
          Float s = from > position[r] ? V::Set(-1e9f) : acc[r][v];
          if (p_.lsh) s = key == position[r] ? V::Set(-1e5f) : s;
          if (begin + kLanes > chunk.length)
            s = key < 0 ? V::Set(-std::numeric_limits<float>::infinity()) : s;  // beyond the chunk
          maximum[r] = V::Max(maximum[r], s);
          V::Store(scores_ + r * row_stride + static_cast<int64_t>(index) * columns + begin, s);
        }
      }
    }
  }

  // Packed columns of a chunk that hold keys, whole pairs of vectors.
  static int32_t Columns(int32_t length) { return (length + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes); }

  // Scores of one row become exp(s - maximum). `factor` = exp(maximum - z) makes the probabilities of them: exp(s - z) with z
  // rounded to float, because maximum - z is exact (the two are close). Returns z.
  float ExpRow(float* row, const ChunkTask& task, float maximum, float& factor) const {
    const int32_t count = Columns(task.length) * task.num_key_chunks;
    Float sum = {};
    for (int32_t i = 0; i < count; i += kLanes) {
      const Float e = V::ExpNonPositive(V::Load(row + i) - maximum);
      sum += e;
      V::Store(row + i, e);
    }
    const float z = maximum + std::log(V::ReduceAdd(sum));
    factor = std::exp(maximum - z);
    return z;
  }

  template <int kCount>
  void Values(const ChunkTask& task, int32_t first, int32_t head, const float* factor) {
    const int64_t row_stride = static_cast<int64_t>(width_) * max_keys_;
    const int32_t columns = Columns(task.length);
    for (int32_t d = 0; d < p_.head_size; d += 2 * kLanes) {
      Float acc[kCount][2] = {};
      for (int32_t i = 0; i < task.num_key_chunks; ++i) {
        const float* weights[kCount];
        for (int r = 0; r < kCount; ++r) weights[r] = scores_ + r * row_stride + static_cast<int64_t>(i) * columns;
        MultiplyAdd<kLanes, kCount, 2>(weights, used_[i]->values + d, depth_, task.length, acc);
      }
      for (int r = 0; r < kCount; ++r) {
        float* target = p_.out + (task.out_row + first + r) * p_.out_stride + static_cast<int64_t>(head) * p_.head_size + d;
        StoreSome(target, acc[r][0] * factor[r], std::min(kLanes, p_.head_size - d));
        StoreSome(target + kLanes, acc[r][1] * factor[r], std::min(kLanes, p_.head_size - d - kLanes));
      }
    }
  }

  static void StoreSome(float* target, Float v, int32_t count) {
    if (count == kLanes) return V::Store(target, v);
    if (count > 0) std::memcpy(target, &v, count * sizeof(float));
  }

  const ChunkAttentionParams& p_;
  int32_t max_keys_ = 0;
  int32_t width_ = 0;  // columns of a packed chunk
  int32_t depth_ = 0;  // head size, whole pairs of vectors
  float scale_ = 1.0f;
  std::vector<Chunk> ring_;
  std::vector<Chunk*> used_;  // the chunks of the task at hand, in key order
  float* scores_ = nullptr;   // [kRows, width_ * max_keys_]
};

}  // namespace
}  // namespace longspan::kernels
