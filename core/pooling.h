// Pooling: the token vectors of one text become one vector for each range of tokens, by the rules
// of sentence-transformers.
//
// StreamingPooler takes the rows in order, in blocks of any size, and reads each of them once. So
// neither the rows of a text of half a million tokens nor a copy of them ever has to exist as a
// whole. Over the tokens t of a range, with m(t) = 1 where token t is read and 0 elsewhere
// (attention mask, prompt left out), and w(t) = 1, 2, 3, ... by its place in the range (tokens with
// m = 0 count):
//
//   cls                   the first row with m = 1
//   lasttoken             the last row with m = 1
//   max                   for each column, over the rows with m = 1
//   mean                  sum(m x) / max(sum(m), 1e-9)
//   mean_sqrt_len_tokens  sum(m x) / sqrt(max(sum(m), 1e-9))
//   weightedmean          sum(w m x) / max(sum(w m), 1e-9)
//
// The vectors of several modes are concatenated in their order. A range without any m = 1 gives
// zeros, never NaN. Sums are kept in double: the result is that of exact arithmetic, rounded to
// float32, however long the text is and however its rows are cut into blocks.
//
//   StreamingPooler pooler({.modes = modes, .dimensions = D, .ranges = {{0, n}, {2, 4}}});
//   for (int64_t row = 0; row < pooler.rows_needed(); ++row) pooler.Add(&rows[row * D], 1);
//   const std::vector<float> document = pooler.TakeVector(0);
//   const std::vector<float> span = pooler.TakeVector(1);
//
// Cost: each of T rows of D values once. Besides, a range costs a merge of D values for each begin
// and end of another range inside it; ranges that do not overlap cost none. Not thread safe: one
// pooler belongs to one thread. Source: the Pooling module of sentence-transformers. Proven by
// pooling_test (against a reference of two lines in double, over all modes, masks, blocks and
// overlapping ranges).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model_info.h"
#include "core/token_batch.h"

namespace longspan {

struct PoolingTask {
  std::vector<PoolingMode> modes = {PoolingMode::kMean};  // concatenated in this order
  int64_t dimensions = 0;                                 // D, width of one row
  // One vector each; begin <= end. They may overlap; {0, n} is the whole text.
  std::vector<TokenRange> ranges;
  // Tokens before this one have m = 0 in every range (a prompt that is left out).
  int64_t pooling_begin = 0;
  // One value for each token, or empty (all 1). It must outlive the pooler.
  std::span<const uint8_t> attention_mask = {};
};

class StreamingPooler {
 public:
  explicit StreamingPooler(PoolingTask task);

  // How many rows of the text are read, from its first on: up to the end of the last range, or
  // fewer where every mode is cls (a text that is pooled by its first token needs 1). Rows that are
  // added beyond that are ignored.
  int64_t rows_needed() const { return rows_needed_; }

  // The next `num_rows` rows of the text, [num_rows, D] row-major. They are not kept.
  void Add(const float* rows, int64_t num_rows);

  // Takes the vector of range i, [modes * D], out of the pooler. Call it once for each range, after
  // rows_needed() rows were added.
  std::vector<float> TakeVector(size_t range);

 private:
  // Running results over some consecutive tokens of a text. Only those arrays are filled that the
  // modes need; each is [D].
  struct Accumulator {
    std::vector<double> sum;
    std::vector<double> weighted_sum;  // weights 1, 2, 3, ... from the accumulator's first token on
    std::vector<float> max;
    std::vector<float> first;
    std::vector<float> last;
    int64_t num_read = 0;   // tokens with m = 1
    double weight = 0;      // the sum of their weights
    int64_t num_slots = 0;  // tokens, whatever their m
  };
  struct Needs {
    bool sum = false;
    bool weighted_sum = false;
    bool max = false;
    bool first = false;
    bool last = false;
  };

  bool IsRead(int64_t token) const;
  int64_t CountRowsNeeded() const;
  void Reset(Accumulator* accumulator) const;
  void AddRow(const float* row, bool is_read);  // to segment_
  // Adds a segment that follows directly behind what `range` has seen.
  void Merge(const Accumulator& segment, Accumulator* range) const;
  std::vector<float> Pool(const Accumulator& range) const;
  void CrossBoundary();  // ends and begins the ranges that end or begin at next_token_

  // Constant after construction.
  PoolingTask task_;
  Needs needs_;
  int64_t rows_needed_ = 0;
  std::vector<int64_t> boundaries_;  // every begin and end of a range, ascending, unique
  std::vector<size_t> by_begin_;     // ranges in the order of their begin

  int64_t next_token_ = 0;
  size_t next_boundary_ = 0;  // in boundaries_
  size_t next_range_ = 0;     // in by_begin_
  Accumulator segment_;       // rows since the last boundary; all open ranges see the same ones
  std::vector<size_t> open_;  // ranges that have begun and not ended
  std::vector<Accumulator> accumulators_;    // of each range; empty unless it is open
  std::vector<std::vector<float>> vectors_;  // of each range that has ended
};

// x / max(|x|, 1e-12), in place: a vector of zeros stays zeros.
void NormalizeL2(std::span<float> vector);

// The Matryoshka cut to the first `dimensions` values (0 = all), then NormalizeL2 where `normalize`
// says so.
void CutAndNormalize(int64_t dimensions, bool normalize, std::vector<float>* vector);

}  // namespace longspan
