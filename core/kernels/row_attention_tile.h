// The loop nest behind RunRowTasks, for any vector width. Each instruction set includes it in one
// file of its own; everything is in an unnamed namespace, so that no code of one set leaks into
// another.
//
// The idea is to turn the score tile on its side: S^T = K Q^T, of shape [keys, kRows] for kRows
// queries of one head, has the queries along the vector lanes. K and V are used as they lie in
// memory (one number of K is broadcast against kRows queries), the maximum and the sum of each
// row's softmax are plain lane-wise operations, and the mask of a key is a range of lanes.
//
//   S^T for w = 2, rows 4..7 of a tile of four, keys 2..9 (. = hidden):
//     key 2: 4 . . .     key 4: 4 5 6 .     key 6: 4 5 6 7     key 8: . . 6 7
//     key 3: 4 5 . .     key 5: 4 5 6 7     key 7: . 5 6 7     key 9: . . . 7
//
// Most keys of a wide window are seen by all rows and need no mask. The others form two triangles
// at the edges. Lane blocks that see nothing there are not computed at all.
//
// A task packs the keys that its rows can see once: the columns first, then the band without masked
// keys, a chunk of kChunkUnits units at a time. Then, for each block of kRows rows of the task:
//   1 scores   S^T of all its keys in the chunk, and the maximum of each row;
//              micro tile [kGroupKeys, at most kRowVectors vectors]
//   2 weights  P = 2^(S log2(e) scale - max), and the sum of each row, for one key block at a time,
//              so that P is still in the first-level cache for stage 3
//   3 values   O [kRows, D] += P V; micro tile [rows, at most kValueVectors vectors]
// Where one chunk holds all keys nothing is ever rescaled. Heads of 64 and windows up to 256 are
// such a case: 512 rows with 256 keys on each side take 1,024 of the 1,056 keys of a chunk.
// Otherwise chunks are merged by the running maximum (online softmax, arXiv 1805.02867).
//
// A unit is 32 bits: a float32, or with kPack = 2 a pair of bfloat16, which is two dimensions of q
// and k in stage 1 and two keys of P and V in stage 3.
//
// What an `Isa` gives to the loop nest (row_attention_portable.cc has the plainest one):
//   Element, Float, kLanes, kPack    element type; vector of floats or units; its lanes; elements
//                                    in a unit
//   kRowVectors, kGroupKeys,         shapes of the micro tiles; ValueRows(n) is the number of rows
//   kValueVectors, ValueRows         that go with n vectors of values
//   Load, Store                      a whole vector
//   Set(x), Broadcast(p)             a float, or the unit at p, in every lane
//   Max, MultiplyAdd, Exp2           lane by lane; where an operand of Max is NaN, the second
//   Dot(sum, a, b)                   sum + a b, summed over the elements of a unit
//   MaskRows(s, first, lo, hi)       lane i is row first + i: s where lo <= row <= hi, else
//                                    kHiddenScore
//   LoadUnits(p, count)              `count` elements at p as units, zeros behind them
//   StoreUnits(p, count, v)          the first `count` units of v
//   LoadValues(rows, first, count)   kPack rows of values as units: `count` dimensions from `first`
//   StoreElements(p, count, v)       the first `count` lanes of v, rounded to elements
//   PackWeights(p)                   the weights of kPack keys as units
//   Transpose(rows)                  turns kLanes rows into columns
// A count above what a vector holds means the whole vector.
//
// How stage 1 makes its scores is a second parameter, `Scores`. ElementScores takes q and k as they
// are. Int8Scores of row_attention_avx512.cc quantises them first, a row of one head at a time, and
// multiplies four int8 a lane. What a `Scores` gives to the loop nest:
//   Sum, kPack                       vector of sums; elements in a unit of q and k
//   kQuantizes                       whether PackQuery is there: queries become units before they
//                                    are transposed, and have a scale
//   PackKey(row, count, depth, to)   writes the `depth` units of a key, and returns its KeyScore
//   PackQuery(row, count, depth, to) the same for a query; returns its scale
//   Start(key), Dot(sum, q, k)       what the sum of a key begins with; sum + q k
//   Score(sum, key, scales)          the scores q·k of a vector of queries with these scales
//
// Cost: 2 D multiply-adds for each key that a row sees, per head, plus at most one lane block at
// each edge of a block of rows. Scratch per thread: a constant of about 1 MiB, whatever the length
// of the text. Source: Longformer, arXiv 2004.05150, sec. 3.1. Proven by
// sliding_window_attention_test and block_sparse_attention_test.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/kernels/bfloat16.h"
#include "core/kernels/key_mask.h"
#include "core/kernels/row_attention.h"
#include "core/kernels/scratch.h"
#include "core/kernels/softmax_constants.h"

namespace longspan::kernels {
namespace {

// What a key brings to its scores besides its units: Scores::Start and Scores::Score read it.
struct KeyScore {
  float scale = 1;
  int32_t start = 0;
};

template <class Isa>
struct ElementScores {
  using Float = typename Isa::Float;
  using Element = typename Isa::Element;
  using Sum = Float;
  static constexpr int kPack = Isa::kPack;
  static constexpr bool kQuantizes = false;

  static KeyScore PackKey(const Element* row, int32_t count, int32_t depth, float* units) {
    for (int32_t d = 0; d < depth; d += Isa::kLanes)
      Isa::StoreUnits(units + d, depth - d, Isa::LoadUnits(row + d * kPack, count - d * kPack));
    return {};
  }
  static Sum Start(const KeyScore&) { return Sum{}; }
  static Sum Dot(Sum sum, Float q, Float k) { return Isa::Dot(sum, q, k); }
  static Float Score(Sum sum, const KeyScore&, Float) { return sum; }
};

template <class Isa, class Scores = ElementScores<Isa>>
class RowTaskTile {
  using Float = typename Isa::Float;
  using Element = typename Isa::Element;
  static constexpr int kLanes = Isa::kLanes;
  static constexpr int kVectors = Isa::kRowVectors;
  static constexpr int kRows = kLanes * kVectors;  // rows in a block
  static constexpr int kGroup = Isa::kGroupKeys;   // keys in a micro tile
  static constexpr int kPack = Isa::kPack;         // elements in a unit
  static_assert(kGroup % kPack == 0);
  // Keys between stages 2 and 3: the weights of 48 keys by 64 rows are 12 KiB.
  static constexpr int kKeyBlock = 48 / kGroup * kGroup;
  // Units of packed K in a chunk: 1,056 keys of 64 floats are 264 KiB.
  static constexpr int kChunkUnits = 67584;
  // The most keys of a chunk, which small heads would exceed.
  static constexpr int kMaxChunkKeys = 2112;
  // How far ahead the rows of keys and values are prefetched while keys are packed.
  static constexpr int kKeysAhead = 8;
  static constexpr int kStateRows = (kMaxTaskRows + kRows - 1) / kRows * kRows;

 public:
  RowTaskTile(const SlidingWindowAttentionParams& params, Scratch& scratch) : p_(params) {
    depth_ = (p_.head_size + Scores::kPack - 1) / Scores::kPack;
    width_ = (p_.head_size + kLanes - 1) / kLanes * kLanes;
    chunk_keys_ = std::clamp(kChunkUnits / width_, 4 * kGroup, kMaxChunkKeys) / kGroup * kGroup;
    LayOut(scratch);
  }

  void Run(const RowTask& task, int32_t head) {
    task_ = &task;
    head_ = head;
    BeginTask();
    for (bool first = true; FillChunk(); first = false) {
      for (int32_t row = task.row_begin; row < task.row_end; row += kRows) AttendBlock(row, first);
    }
    for (int32_t row = task.row_begin; row < task.row_end; ++row) StoreRow(row);
  }

 private:
  void LayOut(Scratch& scratch) {
    const auto lines = [](size_t floats) { return (floats + 15) / 16 * 16; };
    const size_t keys = lines(static_cast<size_t>(chunk_keys_) * depth_);
    const size_t values = lines(static_cast<size_t>(chunk_keys_) / kPack * width_);
    const size_t scores = static_cast<size_t>(chunk_keys_) * kRows;
    const size_t queries = static_cast<size_t>(depth_) * kRows;
    const size_t sums = static_cast<size_t>(kStateRows) * width_;
    const size_t ints = lines(chunk_keys_);
    query_stride_ = static_cast<int32_t>(lines(depth_));
    const size_t query_rows = Scores::kQuantizes ? static_cast<size_t>(kLanes) * query_stride_ : 0;
    const size_t key_scores = Scores::kQuantizes ? 2 * ints : 0;
    float* next = scratch.Floats(keys + values + scores + queries + sums + 2 * kStateRows +
                                 3 * ints + query_rows + key_scores);
    const auto take = [&next](size_t floats) {
      float* part = next;
      next += floats;
      return part;
    };
    keys_ = take(keys);
    values_ = take(values);
    scores_ = take(scores);
    queries_ = take(queries);
    out_ = take(sums);
    maximum_ = take(kStateRows);
    sum_ = take(kStateRows);
    position_ = reinterpret_cast<int32_t*>(take(ints));
    lo_ = reinterpret_cast<int32_t*>(take(ints));
    hi_ = reinterpret_cast<int32_t*>(take(ints));
    query_rows_ = take(query_rows);
    key_scores_ = reinterpret_cast<KeyScore*>(take(key_scores));
  }

  const Element* Row(const void* base, int64_t stride, int32_t row) const {
    return static_cast<const Element*>(base) + row * stride +
           static_cast<int64_t>(head_) * p_.head_size;
  }
  bool IsSeen(int32_t key) const { return !p_.key_mask || kernels::IsSeen(p_.key_mask[key]); }
  bool HasRow(int32_t row) const { return !p_.key_mask || p_.key_mask[row] != kNotRead; }

  void BeginTask() {
    const int32_t rows = task_->row_end - task_->row_begin;
    const int32_t blocks = (rows + kRows - 1) / kRows;
    std::fill(maximum_, maximum_ + blocks * kRows, kHiddenScore);
    std::fill(sum_, sum_ + blocks * kRows, 0.0f);
    std::fill(out_, out_ + static_cast<size_t>(blocks) * kRows * width_, 0.0f);
    next_column_ = 0;
    next_key_ = BandAround(*task_, task_->row_begin).begin;
    band_end_ = BandAround(*task_, task_->row_end - 1).end;
    const int32_t* end = task_->columns + task_->num_columns;
    next_hidden_ = task_->num_columns ? std::lower_bound(task_->columns, end, next_key_) : end;
  }

  // Packs the next keys of the task: columns, then band. Returns false when none are left.
  bool FillChunk() {
    num_weighted_ = 0;
    count_ = 0;
    for (; next_column_ < task_->num_columns && count_ < chunk_keys_; ++next_column_) {
      const int32_t key = task_->columns[next_column_];
      if (!IsSeen(key)) continue;
      if (key < task_->weighted_end) num_weighted_ = count_ + 1;
      AddKey(key, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max());
    }
    PadGroup();
    num_columns_ = count_;
    const int32_t* hidden_end = task_->columns + task_->num_columns;
    for (; next_key_ < band_end_ && count_ < chunk_keys_; ++next_key_) {
      while (next_hidden_ != hidden_end && *next_hidden_ < next_key_) ++next_hidden_;
      const bool is_column = next_hidden_ != hidden_end && *next_hidden_ == next_key_;
      if (is_column || !IsSeen(next_key_)) continue;
      const BandRange seen_by = BandAround(*task_, next_key_);
      AddKey(next_key_, seen_by.begin, seen_by.end - 1);
    }
    band_keys_ = count_ - num_columns_;
    PadGroup();
    for (int32_t i = 0; i < count_; i += kPack) PackKeys(i);
    return count_ > 0;
  }

  // Adds a key that the rows lo..hi see.
  void AddKey(int32_t key, int32_t lo, int32_t hi) {
    position_[count_] = key;
    lo_[count_] = lo;
    hi_[count_++] = hi;
  }
  // Makes the last group whole with keys that no row sees. They repeat a real key, so that their
  // numbers are finite if those of the text are.
  void PadGroup() {
    for (; count_ % kGroup != 0; ++count_) {
      position_[count_] = position_[count_ - 1];
      lo_[count_] = std::numeric_limits<int32_t>::max();
      hi_[count_] = std::numeric_limits<int32_t>::min();
    }
  }
  void PackKeys(int32_t first) {
    const int32_t ahead = position_[std::min(first + kKeysAhead, count_ - 1)];
    Prefetch(Row(p_.k, p_.k_stride, ahead));
    Prefetch(Row(p_.v, p_.v_stride, ahead));
    const Element* values[kPack];
    for (int i = 0; i < kPack; ++i) {
      const int32_t key = position_[first + i];
      const KeyScore score = Scores::PackKey(Row(p_.k, p_.k_stride, key), p_.head_size, depth_,
                                             keys_ + static_cast<size_t>(first + i) * depth_);
      if constexpr (Scores::kQuantizes) key_scores_[first + i] = score;
      values[i] = Row(p_.v, p_.v_stride, key);
    }
    float* target = values_ + static_cast<size_t>(first / kPack) * width_;
    for (int32_t d = 0; d < width_; d += kLanes)
      Isa::Store(target + d, Isa::LoadValues(values, d, p_.head_size - d));
  }

  // Rows lie far apart, where the processor's own prefetch does not foresee them.
  void Prefetch(const Element* row) const {
    for (size_t byte = 0; byte < p_.head_size * sizeof(Element); byte += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(row) + byte);
  }

  // Q^T of the block, [depth_, kRows] units, by transposing kLanes rows at a time. Lanes behind the
  // last row repeat it.
  void PackQueries() {
    for (int r = 0; r < num_vectors_ * kLanes; r += kLanes) {
      if constexpr (Scores::kQuantizes) QuantizeQueries(r);
      for (int32_t d = 0; d < depth_; d += kLanes) {
        Float rows[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) {
          if constexpr (Scores::kQuantizes)
            rows[i] = Isa::Load(query_rows_ + i * query_stride_ + d);
          else
            rows[i] = Isa::LoadUnits(Query(r + i) + d * kPack, p_.head_size - d * kPack);
        }
        Isa::Transpose(rows);
        for (int i = 0; i < std::min<int>(kLanes, depth_ - d); ++i)
          Isa::Store(queries_ + static_cast<size_t>(d + i) * kRows + r, rows[i]);
      }
    }
    for (int32_t row = first_row_ + kRows; row < std::min(first_row_ + 2 * kRows, task_->row_end);
         ++row)
      Prefetch(Row(p_.q, p_.q_stride, row));
  }

  // Row r of the block; the last one for the lanes behind it.
  const Element* Query(int r) const {
    return Row(p_.q, p_.q_stride, std::min(first_row_ + r, task_->row_end - 1));
  }
  // The units and scales of kLanes queries from row r of the block on.
  void QuantizeQueries(int r) {
    alignas(64) float scales[kLanes];
    for (int i = 0; i < kLanes; ++i)
      scales[i] =
          Scores::PackQuery(Query(r + i), p_.head_size, depth_, query_rows_ + i * query_stride_);
    query_scales_[r / kLanes] = Isa::Load(scales);
  }

  void AttendBlock(int32_t first_row, bool first_chunk) {
    first_row_ = first_row;
    num_rows_ = std::min(kRows, task_->row_end - first_row);
    num_vectors_ = (num_rows_ + kLanes - 1) / kLanes;
    // Keys of the band that some row of the block sees; lo and hi ascend with the key.
    const int32_t* lo = lo_ + num_columns_;
    const int32_t* hi = hi_ + num_columns_;
    const auto begin = static_cast<int32_t>(std::lower_bound(hi, hi + band_keys_, first_row) - hi);
    const auto end =
        static_cast<int32_t>(std::upper_bound(lo, lo + band_keys_, first_row + num_rows_ - 1) - lo);
    const int32_t band_begin = num_columns_ + begin / kGroup * kGroup;
    const int32_t band_end = num_columns_ + (std::max(begin, end) + kGroup - 1) / kGroup * kGroup;
    if (num_columns_ == 0 && band_begin == band_end) return;
    PackQueries();
    const int32_t state = first_row - task_->row_begin;
    for (int v = 0; v < num_vectors_; ++v)
      block_maximum_[v] = Isa::Load(maximum_ + state + v * kLanes);
    ScoreKeys(0, num_columns_);
    ScoreKeys(band_begin, band_end);
    Rescale(state, first_chunk);
    WeighAndAdd(0, num_columns_, state);
    WeighAndAdd(band_begin, band_end, state);
    for (int v = 0; v < num_vectors_; ++v) Isa::Store(sum_ + state + v * kLanes, block_sum_[v]);
  }

  // The lane blocks [begin, end) of the row block in which some row sees some key of the group.
  struct VectorRange {
    int begin, end;
  };
  VectorRange SeenBy(int32_t group) const {
    if (group < num_columns_) return {0, num_vectors_};
    const int32_t last = std::min(group + kGroup, num_columns_ + band_keys_) - 1;
    const int32_t begin = std::max(lo_[group] - first_row_, 0);
    const int32_t end = std::min(hi_[last] - first_row_, num_rows_ - 1);
    if (end < begin) return {0, 0};
    return {begin / kLanes, end / kLanes + 1};
  }

  // Stage 1 for the keys [begin, end), both at the edge of a group.
  void ScoreKeys(int32_t begin, int32_t end) {
    for (int32_t group = begin; group < end; group += kGroup) {
      const VectorRange seen = SeenBy(group);
      switch (seen.end - seen.begin) {
        case 1:
          ScoreSome<1>(group, seen.begin);
          break;
        case 2:
          ScoreSome<2>(group, seen.begin);
          break;
        case 3:
          if constexpr (kVectors >= 3) ScoreSome<3>(group, seen.begin);
          break;
        case 4:
          if constexpr (kVectors >= 4) ScoreSome<4>(group, seen.begin);
          break;
        default:
          break;
      }
    }
  }

  // Quantising forms keep the tile in a function of its own: g++ 12 would otherwise hold constants
  // of the other stages in registers and a quarter of the sums in memory.
  template <int kCount>
  void ScoreSome(int32_t group, int first_vector) {
    if constexpr (Scores::kQuantizes)
      ScoreGroupApart<kCount>(group, first_vector);
    else
      ScoreGroup<kCount>(group, first_vector);
  }
  template <int kCount>
  [[gnu::noinline]] void ScoreGroupApart(int32_t group, int first_vector) {
    ScoreGroup<kCount>(group, first_vector);
  }

  template <int kCount>
  void ScoreGroup(int32_t group, int first_vector) {
    typename Scores::Sum sums[kGroup][kCount];
#pragma GCC unroll 8
    for (int g = 0; g < kGroup; ++g) {
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) sums[g][v] = Scores::Start(KeyScoreOf(group + g));
    }
    const float* keys = keys_ + static_cast<size_t>(group) * depth_;
    const float* queries = queries_ + first_vector * kLanes;
    for (int32_t d = 0; d < depth_; ++d, queries += kRows) {
      Float q[kCount];
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) q[v] = Isa::Load(queries + v * kLanes);
#pragma GCC unroll 8
      for (int g = 0; g < kGroup; ++g) {
        const Float k = Isa::Broadcast(keys + static_cast<size_t>(g) * depth_ + d);
#pragma GCC unroll 4
        for (int v = 0; v < kCount; ++v) sums[g][v] = Scores::Dot(sums[g][v], q[v], k);
      }
    }
    Float s[kGroup][kCount];
#pragma GCC unroll 8
    for (int g = 0; g < kGroup; ++g) {
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v)
        s[g][v] = Scores::Score(sums[g][v], KeyScoreOf(group + g), query_scales_[first_vector + v]);
    }
    const int32_t first_row = first_row_ + first_vector * kLanes;
    const bool all_seen =
        lo_[group + kGroup - 1] <= first_row && hi_[group] >= first_row + kCount * kLanes - 1;
    if (!all_seen) {
      for (int g = 0; g < kGroup; ++g) {
        for (int v = 0; v < kCount; ++v)
          s[g][v] = Isa::MaskRows(s[g][v], first_row + v * kLanes, lo_[group + g], hi_[group + g]);
      }
    }
    float* scores = scores_ + static_cast<size_t>(group) * kRows + first_vector * kLanes;
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      Float maximum = block_maximum_[first_vector + v];
#pragma GCC unroll 8
      for (int g = 0; g < kGroup; ++g) {
        Isa::Store(scores + g * kRows + v * kLanes, s[g][v]);
        maximum = Isa::Max(maximum, s[g][v]);
      }
      block_maximum_[first_vector + v] = maximum;
    }
  }

  KeyScore KeyScoreOf(int32_t key) const {
    if constexpr (Scores::kQuantizes)
      return key_scores_[key];
    else
      return {};
  }

  // Brings what earlier chunks left to the new maximum.
  void Rescale(int32_t state, bool first_chunk) {
    const float scale = p_.scale * kLog2OfE;
    for (int v = 0; v < num_vectors_; ++v) {
      float* maximum = maximum_ + state + v * kLanes;
      alignas(64) float factor[kLanes], shift[kLanes];
      Isa::Store(factor, Isa::Exp2((Isa::Load(maximum) - block_maximum_[v]) * Isa::Set(scale)));
      Isa::Store(maximum, block_maximum_[v]);
      for (int i = 0; i < kLanes; ++i) {
        shift[i] = maximum[i] == kHiddenScore ? 0.0f : -maximum[i] * scale;
        if (first_chunk || factor[i] == 1.0f) continue;
        float* row = out_ + static_cast<size_t>(state + v * kLanes + i) * width_;
        for (int32_t d = 0; d < width_; d += kLanes)
          Isa::Store(row + d, Isa::Load(row + d) * Isa::Set(factor[i]));
      }
      block_shift_[v] = Isa::Load(shift);
      block_sum_[v] = Isa::Load(sum_ + state + v * kLanes) * Isa::Load(factor);
    }
  }

  // Stages 2 and 3 for the keys [begin, end).
  void WeighAndAdd(int32_t begin, int32_t end, int32_t state) {
    for (int32_t key = begin; key < end; key += kKeyBlock) {
      const int32_t block_end = std::min(key + kKeyBlock, end);
      // Lane block v has weights for the keys [first[v], last[v]) of the key block.
      int32_t first[kVectors], last[kVectors];
      for (int v = 0; v < kVectors; ++v) first[v] = block_end, last[v] = key;
      for (int32_t group = key; group < block_end; group += kGroup) {
        const VectorRange seen = SeenBy(group);
        for (int v = seen.begin; v < seen.end; ++v) {
          WeighGroup(group, v);
          first[v] = std::min(first[v], group);
          last[v] = group + kGroup;
        }
      }
      for (int v = 0; v < num_vectors_; ++v) {
        if (first[v] < last[v]) AddValues(first[v] / kPack, (last[v] - first[v]) / kPack, v, state);
      }
    }
  }

  void WeighGroup(int32_t group, int v) {
    const Float scale = Isa::Set(p_.scale * kLog2OfE), shift = block_shift_[v];
    Float sum = block_sum_[v];
    const bool weighted = group < num_weighted_;
    float* scores = scores_ + static_cast<size_t>(group) * kRows + v * kLanes;
    float* weights = scores_ + static_cast<size_t>(group / kPack) * kRows + v * kLanes;
#pragma GCC unroll 8
    for (int unit = 0; unit < kGroup / kPack; ++unit) {
      Float p[kPack];
#pragma GCC unroll 2
      for (int i = 0; i < kPack; ++i) {
        const int key = unit * kPack + i;
        p[i] = Isa::Exp2(Isa::MultiplyAdd(Isa::Load(scores + key * kRows), scale, shift));
        if (weighted && group + key < num_weighted_) p[i] = p[i] * Isa::Set(task_->weight);
        sum = sum + p[i];
      }
      Isa::Store(weights + unit * kRows, Isa::PackWeights(p));
    }
    block_sum_[v] = sum;
  }

  // Stage 3 for the rows of lane block v and `units` units of keys.
  void AddValues(int32_t first_unit, int32_t units, int v, int32_t state) {
    for (int32_t d = 0; d < width_; d += Isa::kValueVectors * kLanes) {
      const int vectors = std::min(Isa::kValueVectors, (width_ - d) / kLanes);
      switch (vectors) {
        case 1:
          AddRows<1>(first_unit, units, v, state, d);
          break;
        case 2:
          AddRows<2>(first_unit, units, v, state, d);
          break;
        case 3:
          AddRows<3>(first_unit, units, v, state, d);
          break;
        default:
          AddRows<4>(first_unit, units, v, state, d);
          break;
      }
    }
  }

  template <int kCount>
  void AddRows(int32_t first_unit, int32_t units, int v, int32_t state, int32_t d) {
    constexpr int kTileRows = Isa::ValueRows(kCount);
    const int rows = std::min(kLanes, num_rows_ - v * kLanes);
    for (int r = 0; r < rows; r += kTileRows) {
      const int row = v * kLanes + r;
      MultiplyTile<kTileRows, kCount>(scores_ + static_cast<size_t>(first_unit) * kRows + row,
                                      values_ + static_cast<size_t>(first_unit) * width_ + d, units,
                                      out_ + static_cast<size_t>(state + row) * width_ + d);
    }
  }

  template <int kTileRows, int kCount>
  void MultiplyTile(const float* weights, const float* values, int32_t units, float* out) const {
    Float sum[kTileRows][kCount];
#pragma GCC unroll 16
    for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) sum[r][v] = Isa::Load(out + r * width_ + v * kLanes);
    }
    for (int32_t unit = 0; unit < units; ++unit, weights += kRows, values += width_) {
      Float value[kCount];
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) value[v] = Isa::Load(values + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kTileRows; ++r) {
        const Float p = Isa::Broadcast(weights + r);
#pragma GCC unroll 4
        for (int v = 0; v < kCount; ++v) sum[r][v] = Isa::Dot(sum[r][v], value[v], p);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) Isa::Store(out + r * width_ + v * kLanes, sum[r][v]);
    }
  }

  void StoreRow(int32_t row) const {
    const int32_t state = row - task_->row_begin;
    const bool empty = sum_[state] == 0.0f || !HasRow(row);
    const float inverse = empty ? 0.0f : 1.0f / sum_[state];
    const float* source = out_ + static_cast<size_t>(state) * width_;
    Element* target = static_cast<Element*>(p_.out) + row * p_.out_stride +
                      static_cast<int64_t>(head_) * p_.head_size;
    for (int32_t d = 0; d < p_.head_size; d += kLanes)
      Isa::StoreElements(target + d, p_.head_size - d,
                         empty ? Isa::Set(0.0f) : Isa::Load(source + d) * Isa::Set(inverse));
    if (p_.lse) {
      p_.lse[static_cast<int64_t>(row) * p_.num_heads + head_] =
          empty ? -std::numeric_limits<float>::infinity()
                : maximum_[state] * p_.scale + std::log(sum_[state]);
    }
  }

  const SlidingWindowAttentionParams& p_;
  int32_t depth_ = 0;         // units of one query or key
  int32_t width_ = 0;         // head size, rounded up to whole vectors
  int32_t chunk_keys_ = 0;    // the most keys of a chunk
  int32_t query_stride_ = 0;  // units from row to row of query_rows_

  // The task at hand.
  const RowTask* task_ = nullptr;
  int32_t head_ = 0;
  int32_t next_column_ = 0;               // index of the column to pack next
  int32_t next_key_ = 0;                  // position of the key of the band to pack next
  int32_t band_end_ = 0;                  // behind the last position of the band
  const int32_t* next_hidden_ = nullptr;  // first column at or after next_key_
  float* out_ = nullptr;                  // [kStateRows, width_] sums of values
  float* maximum_ = nullptr;              // [kStateRows] of the raw scores q·k
  float* sum_ = nullptr;                  // [kStateRows] of the weights

  // The chunk at hand: columns, then band, each padded to whole groups.
  int32_t count_ = 0;               // keys, with padding
  int32_t num_columns_ = 0;         // of them columns, with padding
  int32_t band_keys_ = 0;           // of them in the band, without padding
  int32_t num_weighted_ = 0;        // leading columns that count task_->weight times
  int32_t* position_ = nullptr;     // [chunk_keys_]
  int32_t* lo_ = nullptr;           // [chunk_keys_] first row that sees the key
  int32_t* hi_ = nullptr;           // [chunk_keys_] last row that sees the key
  KeyScore* key_scores_ = nullptr;  // [chunk_keys_] where Scores quantises
  float* keys_ = nullptr;           // [chunk_keys_, depth_] units
  float* values_ = nullptr;         // [chunk_keys_ / kPack, width_] units

  // The block of rows at hand.
  int32_t first_row_ = 0;
  int32_t num_rows_ = 0;
  int32_t num_vectors_ = 0;
  float* queries_ = nullptr;     // [depth_, kRows] units
  float* query_rows_ = nullptr;  // [kLanes, query_stride_] units, where Scores quantises
  // [chunk_keys_, kRows] scores, which stage 2 overwrites with the weights,
  // [chunk_keys_ / kPack, kRows] units.
  float* scores_ = nullptr;
  Float block_maximum_[kVectors], block_shift_[kVectors], block_sum_[kVectors];
  Float query_scales_[kVectors] = {};
};

// Runs every task for every head. Heads come first, so that what runs at the same time shares rows
// of the same tensors.
template <class Isa, class Scores = ElementScores<Isa>>
void RunTasks(const SlidingWindowAttentionParams& params, const RowTask* tasks, int64_t num_tasks) {
  const int64_t count = num_tasks * params.num_heads;
#pragma omp parallel if (count > 1 && !omp_in_parallel())
  {
    thread_local Scratch scratch;
    RowTaskTile<Isa, Scores> tile(params, scratch);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < count; ++i)
      tile.Run(tasks[i / params.num_heads], static_cast<int32_t>(i % params.num_heads));
  }
}

}  // namespace
}  // namespace longspan::kernels
