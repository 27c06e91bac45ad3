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
// Cost: each of T rows of D values once, and O(log ranges) merges of D values for each range,
// however they overlap; one to five in practice. Memory: the segments that open ranges still need
// (held_bytes), at most one for each begin of a range. GroupRanges divides many ranges, so that
// this stays below a bound, and each group reads the rows anew.
//
// Not thread safe: one pooler belongs to one thread. Source: the Pooling module of
// sentence-transformers. Proven by pooling_test (against a reference of two lines in double, over
// all modes, masks, blocks and overlapping ranges, and by counting the work).
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

  bool IsRead(int64_t token) const;  // m(token) = 1
};

// What the modes have to know of the rows of a range.
struct PoolingNeeds {
  explicit PoolingNeeds(std::span<const PoolingMode> modes);
  int64_t bytes_per_value() const;  // that a segment keeps for each of D values

  bool sum = false;
  bool weighted_sum = false;
  bool max = false;
  bool first = false;
  bool last = false;
};

// How many rows of the text are read, from its first on: up to the end of the last range, or fewer
// where every mode is cls (a text that is pooled by its first token needs 1).
int64_t RowsNeeded(const PoolingTask& task);

// The ranges that are not empty, in groups of ascending begins, so that the segments of one group
// take about max_bytes at most. At least one group, which may be empty.
std::vector<std::vector<size_t>> GroupRanges(const PoolingTask& task, int64_t max_bytes);

class StreamingPooler {
 public:
  explicit StreamingPooler(PoolingTask task);

  // RowsNeeded of the task. Rows that are added beyond that are ignored.
  int64_t rows_needed() const { return rows_needed_; }
  // The first row that any range reads; 0 where there is none.
  int64_t first_row() const;

  // Leaves out the next `num_rows` rows. Allowed up to first_row().
  void Skip(int64_t num_rows);
  // The next `num_rows` rows of the text, [num_rows, D] row-major. They are not kept.
  void Add(const float* rows, int64_t num_rows);

  // Takes the vector of range i, [modes * D], out of the pooler. Call it once for each range, after
  // rows_needed() rows were added.
  std::vector<float> TakeVector(size_t range);

  // What was done so far, in values: D for each row that was added, for each merge of two segments
  // and for each vector.
  int64_t work() const { return work_; }
  // Bytes of the segments that open ranges need now.
  int64_t held_bytes() const;

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
  // The rows from a begin of a range up to that of the segment `next`; up to now where next is -1.
  struct Segment {
    Accumulator rows;
    int32_t next = -1;
    int64_t users = 0;  // open ranges that begin here, and segments that link here
  };

  int64_t NextBoundary() const;
  void Reset(Accumulator* accumulator) const;
  void AddRow(const float* row, bool is_read, Accumulator* segment);
  // Adds a segment that follows directly behind what `range` has seen.
  void Merge(const Accumulator& segment, Accumulator* range);
  void ShortenPath(int32_t segment);
  void Forget(int32_t segment);
  std::vector<float> PoolUpToNow(size_t range);
  std::vector<float> Pool(const Accumulator& range);
  void CrossBoundary();  // ends and begins the ranges that end or begin at next_token_
  void BeginSegment();

  // Constant after construction.
  const PoolingTask task_;
  const PoolingNeeds needs_;
  const int64_t rows_needed_;
  const std::vector<size_t> by_begin_;  // ranges that are not empty
  const std::vector<size_t> by_end_;    // the same

  int64_t next_token_ = 0;
  size_t next_begin_ = 0;  // in by_begin_
  size_t next_end_ = 0;    // in by_end_
  int64_t open_ranges_ = 0;
  std::vector<Segment> segments_;
  std::vector<int32_t> free_;                // places in segments_ that are empty
  int32_t current_ = -1;                     // the segment that takes the rows
  std::vector<int32_t> segment_of_;          // of each range; -1 = it is not open
  std::vector<int32_t> path_;                // of ShortenPath
  Accumulator scratch_;                      // of PoolUpToNow
  std::vector<std::vector<float>> vectors_;  // of each range that has ended
  int64_t work_ = 0;
};

// x / max(|x|, 1e-12), in place: a vector of zeros stays zeros.
void NormalizeL2(std::span<float> vector);

// The Matryoshka cut to the first `dimensions` values (0 = all), then NormalizeL2 where `normalize`
// says so.
void CutAndNormalize(int64_t dimensions, bool normalize, std::vector<float>* vector);

}  // namespace longspan
