// Index arithmetic of Reformer's chunked attention on the device: buckets, sort keys, chunks and
// masks. Plain functions of integers and floats for kernels and for the processor, so that tests
// run the very same code. Source: Reformer, arXiv 2001.04451, sec. 2; what a mask does and how
// rounds share a circle is that of the published code.
//
// Texts lie packed one behind the other in num_rows rows. A text longer than a chunk is padded to a
// multiple of the chunk length; a shorter one is one chunk of its own length, is not hashed, and
// every token of it sees every token. Rows that are padding have key_mask 0.
//
// A slot is a place in sorted order. Slots lie [heads, rounds, num_rows]; the slots of text t in
// head h and round r are (h * R + r) * num_rows + row_begin(t) ... + length(t), because the sort
// key is (head, round, text, bucket) and the sort is stable. `order` holds the row of each slot.
//
//   2 texts of 4 rows, chunks of 2, 2 rounds, one head:
//     order  [ round 0: text 0 | text 1 ][ round 1: text 0 | text 1 ]
//     circle of text 0: its chunks 0 1 of round 0, then 2 3 of round 1; chunk 2 looks back at 1
#pragma once

#include <cstdint>

#include "core/cuda/kernels/host_device.h"

namespace longspan::cuda {

// Scores that masks put in the place of q·k. The kernels hold scores times log2(e), because their
// probabilities are powers of two; NaturalMaximum gives the masks' scores back exactly.
inline constexpr float kLog2E = 1.4426950408889634F;
inline constexpr float kLn2 = 0.6931471805599453F;
// The key is not read, or, in a causal model, later than the query.
inline constexpr float kMaskScore = -1e9F;
inline constexpr float kSelfScore = -1e5F;  // LSH: key and query are the same token
inline constexpr float kMaskScore2 = kMaskScore * kLog2E;
inline constexpr float kSelfScore2 = kSelfScore * kLog2E;
inline constexpr int32_t kNeverVisible = 0x7fffffff;

LONGSPAN_HOST_DEVICE float NaturalMaximum(float maximum2) {
  if (maximum2 == kSelfScore2) return kSelfScore;
  if (maximum2 == kMaskScore2) return kMaskScore;
  return maximum2 * kLn2;
}

// ---- hashing ----

inline constexpr int kMaxFactors = 6;
inline constexpr int kHashColumns = 32;  // columns that are reduced together

// The number of buckets as a product. Column layout of the packed rotations, round by round and in
// each round factor by factor: f/2 columns, padded with zeros to a multiple of kHashColumns. A zero
// column never wins against the columns before it.
struct BucketFactors {
  int32_t num_factors = 0;
  int32_t factors[kMaxFactors] = {};  // each even and at least 2
};

// Whether there are 1 to kMaxFactors factors, each even and at least 2, and fewer than 2^30
// buckets.
LONGSPAN_HOST_DEVICE bool AreValid(const BucketFactors& f) {
  if (f.num_factors < 1 || f.num_factors > kMaxFactors) return false;
  int64_t product = 1;
  for (int i = 0; i < f.num_factors; ++i) {
    if (f.factors[i] < 2 || f.factors[i] % 2 != 0) return false;
    product *= f.factors[i];
    if (product >= int64_t{1} << 30) return false;
  }
  return true;
}

LONGSPAN_HOST_DEVICE int32_t NumBuckets(const BucketFactors& f) {
  int32_t product = 1;
  LONGSPAN_UNROLL
  for (int i = 0; i < kMaxFactors; ++i) product *= i < f.num_factors ? f.factors[i] : 1;
  return product;
}
LONGSPAN_HOST_DEVICE int32_t FactorTiles(int32_t factor) {
  return (factor / 2 + kHashColumns - 1) / kHashColumns;
}
// Tiles of kHashColumns columns of one round.
LONGSPAN_HOST_DEVICE int32_t RoundTiles(const BucketFactors& f) {
  int32_t tiles = 0;
  LONGSPAN_UNROLL
  for (int i = 0; i < kMaxFactors; ++i) tiles += i < f.num_factors ? FactorTiles(f.factors[i]) : 0;
  return tiles;
}
LONGSPAN_HOST_DEVICE int32_t RoundColumns(const BucketFactors& f) {
  int32_t columns = 0;
  LONGSPAN_UNROLL
  for (int i = 0; i < kMaxFactors; ++i) columns += i < f.num_factors ? f.factors[i] / 2 : 0;
  return columns;
}

// What a tile of columns belongs to.
struct HashTile {
  int32_t round = 0;
  int32_t half = 0;    // f / 2 of its factor
  int32_t first = 0;   // column within the factor of the tile's first column
  int32_t source = 0;  // that column in the unpacked rotations [rounds * sum f/2]
  int32_t place = 1;   // what the factor's index is multiplied by
  // Whether it is the first or the last tile of its factor, and of its round.
  bool opens_factor = false, closes_factor = false, opens_round = false, closes_round = false;
};
LONGSPAN_HOST_DEVICE HashTile FindHashTile(const BucketFactors& f, int32_t tile) {
  HashTile found;
  const int32_t round_tiles = RoundTiles(f);
  found.round = tile / round_tiles;
  int32_t rest = tile - found.round * round_tiles;
  found.opens_round = rest == 0;
  found.closes_round = rest == round_tiles - 1;
  found.source = found.round * RoundColumns(f);
  bool is_found = false;
  LONGSPAN_UNROLL
  for (int i = 0; i < kMaxFactors;
       ++i) {  // no dynamic index: kernel parameters stay where they are
    if (is_found || i >= f.num_factors) continue;
    const int32_t tiles = FactorTiles(f.factors[i]);
    if (rest < tiles) {
      found.half = f.factors[i] / 2;
      found.first = rest * kHashColumns;
      found.source += found.first;
      found.opens_factor = rest == 0;
      found.closes_factor = rest == tiles - 1;
      is_found = true;
      continue;
    }
    rest -= tiles;
    found.place *= f.factors[i];
    found.source += f.factors[i] / 2;
  }
  return found;
}

// The best of the values [y, -y] so far. The first maximum wins: y_j has index j, and -y_j has
// index half + j.
struct BestDirection {
  float value = -1.0F;
  int32_t index = 0;
};
LONGSPAN_HOST_DEVICE void Meet(BestDirection& best, float value, int32_t index) {
  if (value > best.value || (value == best.value && index < best.index)) {
    best.value = value;
    best.index = index;
  }
}
// y is column `column` of its factor.
LONGSPAN_HOST_DEVICE void MeetColumn(BestDirection& best, float y, int32_t column, int32_t half) {
  if (column < half) Meet(best, y < 0.0F ? -y : y, y < 0.0F ? half + column : column);
}

// Buckets that a round may hold: one more where some tokens are not read.
LONGSPAN_HOST_DEVICE int32_t BucketsARound(int32_t num_buckets, bool has_mask) {
  return num_buckets + (has_mask ? 1 : 0);
}
// (head, round, text, bucket) as one number. Tokens of one bucket stay in the order of their
// positions, because the sort is stable.
LONGSPAN_HOST_DEVICE uint32_t SortKey(int32_t head, int32_t round, int32_t text, int32_t bucket,
                                      int32_t num_rounds, int32_t num_texts,
                                      int32_t buckets_a_round) {
  const uint32_t segment =
      (static_cast<uint32_t>(head) * num_rounds + round) * static_cast<uint32_t>(num_texts) + text;
  return segment * static_cast<uint32_t>(buckets_a_round) + bucket;
}
// Keys are below this.
LONGSPAN_HOST_DEVICE uint64_t NumSortKeys(int32_t num_heads, int32_t num_rounds, int32_t num_texts,
                                          int32_t buckets_a_round) {
  return uint64_t{1} * num_heads * num_rounds * num_texts * buckets_a_round;
}
LONGSPAN_HOST_DEVICE int SortKeyBits(uint64_t num_keys) {
  int bits = 1;
  while ((uint64_t{1} << bits) < num_keys) ++bits;
  return bits;
}

// ---- chunks ----

// A text longer than a chunk is cut (and hashed, in an LSH layer); others are one chunk.
LONGSPAN_HOST_DEVICE bool IsCut(int32_t length, int32_t chunk_length) {
  return length > chunk_length;
}
LONGSPAN_HOST_DEVICE bool IsValidLength(int32_t length, int32_t chunk_length) {
  return !IsCut(length, chunk_length) || length % chunk_length == 0;
}
// Of one round.
LONGSPAN_HOST_DEVICE int32_t NumChunks(int32_t length, int32_t chunk_length) {
  return IsCut(length, chunk_length) ? length / chunk_length : length > 0 ? 1 : 0;
}
// Chunk c + offset in a circle; an offset of num_chunks or more is no shift at all.
LONGSPAN_HOST_DEVICE int32_t CircularChunk(int32_t c, int32_t offset, int32_t num_chunks) {
  const int32_t size = offset < 0 ? -offset : offset;
  if (size >= num_chunks) return c;
  const int32_t moved = c + offset;
  return moved < 0 ? moved + num_chunks : moved >= num_chunks ? moved - num_chunks : moved;
}

// Chunk `chunk` of text `text`; chunks of all texts are listed text by text.
struct ChunkOfText {
  int32_t text = 0;
  int32_t chunk = 0;
};

// One chunk of one text, in one head and round, and what it sees. Keys are numbered through all the
// chunks that it sees, in their order.
struct ChunkView {
  int32_t row_begin = 0;       // of the text
  int32_t length = 0;          // slots of the chunk
  int32_t chunks_a_round = 0;  // of the text
  int32_t circle = 0;          // chunks of the text through all rounds
  int32_t chunk = 0;           // in the circle
  int32_t before = 0;
  int32_t num_keys = 0;  // 0 = there is nothing to do (an uncut text has one round only)
  int32_t num_rows = 0;
  int64_t head_slot = 0;  // first slot of the head: h * R * num_rows
};
LONGSPAN_HOST_DEVICE ChunkView ViewChunk(int32_t row_begin, int32_t text_length,
                                         int32_t chunk_in_round, int32_t head, int32_t round,
                                         int32_t num_rounds, int32_t num_rows, int32_t chunk_length,
                                         int32_t chunks_before, int32_t chunks_after) {
  const bool cut = IsCut(text_length, chunk_length);
  ChunkView view;
  view.row_begin = row_begin;
  view.length = cut ? chunk_length : text_length;
  view.chunks_a_round = cut ? text_length / chunk_length : 1;
  view.circle = cut ? view.chunks_a_round * num_rounds : 1;
  view.chunk = cut ? round * view.chunks_a_round + chunk_in_round : 0;
  view.before = cut ? chunks_before : 0;
  const int32_t after = cut ? chunks_after : 0;
  view.num_keys = !cut && round > 0 ? 0 : (view.before + 1 + after) * view.length;
  view.num_rows = num_rows;
  view.head_slot = int64_t{1} * head * num_rounds * num_rows;
  return view;
}
// The slot of place i of a chunk of the circle.
LONGSPAN_HOST_DEVICE int64_t SlotOf(const ChunkView& view, int32_t chunk, int32_t i) {
  const int32_t round = chunk / view.chunks_a_round;
  const int32_t in_round = chunk - round * view.chunks_a_round;
  return view.head_slot + int64_t{1} * round * view.num_rows + view.row_begin +
         in_round * view.length + i;
}
// The slot of key j.
LONGSPAN_HOST_DEVICE int64_t KeySlot(const ChunkView& view, int32_t j) {
  const int32_t which = j / view.length;
  return SlotOf(view, CircularChunk(view.chunk, which - view.before, view.circle),
                j - which * view.length);
}
// The row at a slot; without an order (local layers: one round) slot and row agree within a head.
LONGSPAN_HOST_DEVICE int32_t RowAt(const ChunkView& view, const int32_t* order, int64_t slot) {
  return order ? order[slot] : static_cast<int32_t>(slot - view.head_slot);
}

// ---- masks ----

// The first row whose queries see a key at `row`. Rows of one text compare as positions do.
LONGSPAN_HOST_DEVICE int32_t VisibleFrom(bool read, bool causal, int32_t row) {
  return !read ? kNeverVisible : causal ? row : -1;
}
// `score` in units of log2(e), or what masks put in its place. That a token shall not see itself
// replaces the other mask.
LONGSPAN_HOST_DEVICE float MaskedScore(float score, bool lsh, int32_t query_row, int32_t key_row,
                                       int32_t visible_from) {
  if (query_row < visible_from) score = kMaskScore2;
  if (lsh && query_row == key_row) score = kSelfScore2;
  return score;
}

// The index in shared memory of 16 bytes (`unit`) of a row of kD bfloat16. Rows are turned, so that
// one unit of eight rows, and eight units of one row, lie in different banks.
template <int kD>
LONGSPAN_HOST_DEVICE int SwizzledUnit(int row, int unit) {
  return row * (kD / 8) + (kD >= 64 ? unit ^ (row & 7) : unit ^ ((row >> 1) & 3));
}

// The i with begins[i] <= x < begins[i + 1]; begins has count + 1 elements.
LONGSPAN_HOST_DEVICE int32_t FindSpan(const int32_t* begins, int32_t count, int32_t x) {
  int32_t low = 0, high = count - 1;
  while (low < high) {
    const int32_t middle = (low + high + 1) / 2;
    if (begins[middle] <= x) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace longspan::cuda
