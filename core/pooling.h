// Pooling: the token vectors of one text become one vector per range of tokens, by the rules of
// sentence-transformers.
//
// StreamingPooler takes the rows in order, in blocks of any size, and reads each of them once, so
// that neither the rows of a half-million-token text nor a copy of them ever has to exist as a
// whole. With m(t) = 1 where token t is read (attention mask, prompt left out) and 0 elsewhere,
// over the tokens t of a range:
//   cls                   first row with m = 1                    lasttoken    last row with m = 1
//   mean                  sum(m x) / max(sum(m), 1e-9)            max          per column, rows with m = 1
//   mean_sqrt_len_tokens  sum(m x) / sqrt(max(sum(m), 1e-9))
//   weightedmean          sum(w m x) / max(sum(w m), 1e-9)        w = 1, 2, 3, ... by slot in the range, slots with m = 0 counted
// Several modes are concatenated in their order. A range without any m = 1 gives zeros, never NaN.
// Sums are kept in double: the result is that of exact arithmetic to float32 rounding, however long
// the text is and however its rows are cut into blocks.
//
//   StreamingPooler pooler({.modes = info.pooling, .dimensions = D, .ranges = {{0, n}, {10, 90}}, .pooling_begin = prompt});
//   for (begin = 0; begin < pooler.rows_needed(); begin = end)  pooler.Add(rows(begin, end), end - begin);
//   std::vector<float> document = pooler.TakeVector(0), span = pooler.TakeVector(1);
//
// Cost: T rows x D once, and for each range one merge per range boundary inside it (ranges that do
// not overlap: none). Not thread safe: one pooler belongs to one thread. Source: the Pooling module
// of sentence-transformers. Proven by pooling_test (against a two-line double reference, all modes
// x masks x blocks x overlapping ranges).
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
  std::vector<TokenRange>
      ranges;  // one vector each, begin <= end; may overlap; {0, n} is the whole text
  int64_t pooling_begin =
      0;  // tokens before this one have m = 0 in every range (a prompt left out)
  std::span<const uint8_t> attention_mask =
      {};  // empty (all 1) or one value per token; must outlive the pooler
};

class StreamingPooler {
 public:
  explicit StreamingPooler(PoolingTask task);

  // How many leading rows of the text are read: the last range's end, or less where every mode is
  // cls (a text that is pooled by its first token needs 1). Rows that are added beyond are ignored.
  int64_t rows_needed() const { return rows_needed_; }

  // The next `num_rows` rows of the text, [num_rows, D] row-major. They are not kept.
  void Add(const float* rows, int64_t num_rows);

  // The vector of range i, [modes * D]; valid once rows_needed() rows were added. Takes it out of
  // the pooler.
  std::vector<float> TakeVector(size_t range);

 private:
  // Running results over some consecutive slots of a text; only the arrays that the modes need are
  // filled.
  struct Accumulator {
    std::vector<double> sum,
        weighted_sum;  // [D]; weighted by 1, 2, 3, ... from the accumulator's own first slot
    std::vector<float> max, first, last;  // [D]
    int64_t num_read = 0;                 // slots with m = 1
    double weight = 0;                    // sum of their weights
    int64_t num_slots = 0;
  };
  struct Needs {
    bool sum = false, weighted_sum = false, max = false, first = false, last = false;
  };

  bool IsRead(int64_t token) const;
  int64_t CountRowsNeeded() const;
  void Reset(Accumulator* accumulator) const;
  void AddRow(const float* row, bool is_read);  // to segment_
  void Merge(const Accumulator& segment,
             Accumulator* range) const;  // segment follows what range has seen
  std::vector<float> Pool(const Accumulator& range) const;
  void CrossBoundary();  // at next_token_: ends and begins ranges

  // Constant after construction.
  PoolingTask task_;
  Needs needs_;
  int64_t rows_needed_ = 0;
  std::vector<int64_t> boundaries_;  // every begin and end of a range, ascending, unique
  std::vector<size_t> by_begin_;     // ranges in the order of their begin

  int64_t next_token_ = 0;
  size_t next_boundary_ = 0;  // in boundaries_
  size_t next_range_ = 0;     // in by_begin_
  Accumulator segment_;  // rows since the last boundary: all ranges that are open see the same ones
  std::vector<size_t> open_;               // ranges that have begun and not ended
  std::vector<Accumulator> accumulators_;  // per range; empty unless open
  std::vector<std::vector<float>> vectors_;
};

// x / max(|x|, 1e-12): a vector of zeros stays zeros.
void NormalizeL2(std::span<float> vector);

// Matryoshka cut to the first `dimensions` values (0 = all), then NormalizeL2 if asked.
void CutAndNormalize(int64_t dimensions, bool normalize, std::vector<float>* vector);

}  // namespace longspan
