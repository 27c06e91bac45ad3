// Reformer's attention of chunks out of LibTorch's own operations, text by text.
//
// The rows at the slots of a text, all its rounds one behind the other, are cut into chunks: rows
// [H, chunks, C]. The chunks that chunk c sees are others of the same circle, so their rows are a
// gather of chunks, and queries, keys and values gathers of rows:
//
//   8 tokens, chunks of 2, one before:   chunks 0 1 2 3 see chunks 3 0, 0 1, 1 2, 2 3
//
// A text of at most one chunk is one chunk of its own length, sees itself and has one round.
// Proven by backend_chunks_test.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/remainder.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>

#include "core/backend/portable_backend.h"
#include "core/backend/portable_softmax.h"

namespace longspan {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr double kMaskScore = -1e9;  // the key is not read, or later than the query
constexpr double kSelfScore = -1e5;  // LSH: key and query are one token

at::Tensor Range(int64_t begin, int64_t end, const at::Tensor& like) {
  return at::arange(begin, end, like.options().dtype(at::kLong));
}

bool IsCut(int64_t length, const ChunkRun& run) { return length > run.shape.chunk_length; }

// The index of the first maximum of [y, -y] in each row: y [H, n, R, half] -> [H, n, R].
at::Tensor FirstMaximum(const at::Tensor& y) { return at::cat({y, -y}, 3).argmax(3); }

// The buckets of some rows of a hashed text: x [n, H, D] float32 -> [H, n, R] int64.
at::Tensor Buckets(const at::Tensor& x, const ChunkRun& run) {
  const at::Tensor y =
      at::bmm(x.permute({1, 0, 2}), run.rotations).view({x.size(1), x.size(0), run.num_rounds, -1});
  at::Tensor buckets;
  int64_t column = 0, place = 1;
  for (const int32_t factor : run.factors) {
    const at::Tensor index = FirstMaximum(y.narrow(3, column, factor / 2)).mul_(place);
    buckets = buckets.defined() ? buckets.add_(index) : index;
    column += factor / 2;
    place *= factor;
  }
  return buckets;
}

// The attention of one text of a run. Rows count from the run's first.
class ChunksOfText {
 public:
  // Tensors are those of AttendChunks.
  ChunksOfText(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
               const at::Tensor& order, const ChunkRun& run, int64_t begin, int64_t end)
      : q_(q), k_(k), v_(v), run_(run), heads_(q.size(1)), lsh_(order.defined()) {
    const bool cut = IsCut(end - begin, run);
    chunk_length_ = cut ? run.shape.chunk_length : end - begin;
    before_ = cut ? run.shape.chunks_before : 0;
    after_ = cut ? run.shape.chunks_after : 0;
    const int64_t rounds = cut && lsh_ ? run.num_rounds : 1;
    chunks_a_round_ = (end - begin) / chunk_length_;
    circle_ = rounds * chunks_a_round_;
    const at::Tensor rows = lsh_ ? order.narrow(1, 0, rounds).slice(2, begin, end).to(at::kLong)
                                 : Range(begin, end, q).expand({heads_, 1, end - begin});
    rows_ = rows.reshape({heads_, circle_, chunk_length_});
    heads_index_ = Range(0, heads_, q).view({heads_, 1, 1});
  }

  // Writes to the text's rows and rounds of out [rows, H, R, D] and, where defined, lse [rows, H,
  // R].
  void Run(at::Tensor& out, at::Tensor& lse) const {
    const int64_t keys = (before_ + 1 + after_) * chunk_length_;
    // What is gathered for a chunk counts too, where heads are wider than chunks.
    const int64_t chunks =
        RowsOfScores(heads_, keys * std::max<int64_t>(chunk_length_, q_.size(2)));
    const int64_t places =
        chunks > 1 ? chunk_length_ : std::min(chunk_length_, RowsOfScores(heads_, keys));
    for (int64_t chunk = 0; chunk < circle_; chunk += chunks) {
      const int64_t chunk_end = std::min(chunk + chunks, circle_);
      const at::Tensor key_rows = KeyRows(chunk, chunk_end);
      const at::Tensor keys_here = Keys(key_rows), values = Gathered(v_, key_rows);
      const at::Tensor rounds =
          Range(chunk, chunk_end, q_).div_(chunks_a_round_, "floor").view({1, -1, 1});
      for (int64_t place = 0; place < chunk_length_; place += places) {
        const at::Tensor query_rows =
            rows_.slice(1, chunk, chunk_end)
                .slice(2, place, std::min(place + places, chunk_length_));  // [H, m, places]
        const at::Tensor scores = Scores(query_rows, key_rows, keys_here);
        const at::Tensor z = at::logsumexp(scores, {-1});  // [H, m, places]
        const at::Tensor made = at::matmul(scores.sub(z.unsqueeze(-1)).exp_(), values);
        out.index_put_({query_rows, heads_index_, rounds}, made.to(out.scalar_type()));
        if (lse.defined()) lse.index_put_({query_rows, heads_index_, rounds}, z);
      }
    }
  }

  int64_t num_rounds() const { return circle_ / chunks_a_round_; }

 private:
  // The rows of the keys that the chunks [begin, end) of the circle see, in their order: [H, m,
  // keys].
  at::Tensor KeyRows(int64_t begin, int64_t end) const {
    const at::Tensor chunks = Range(begin, end, q_);
    std::vector<at::Tensor> rows;
    for (int64_t offset = -before_; offset <= after_; ++offset) {
      // An offset of the whole circle or more is no shift.
      const bool moves = std::abs(offset) < circle_;
      const at::Tensor seen = moves ? at::remainder(chunks + offset, circle_) : chunks;
      rows.push_back(rows_.index_select(1, seen));
    }
    return at::cat(rows, 2);
  }

  // x [rows, H, D] at rows [H, m, n] -> [H, m, n, D] float32.
  at::Tensor Gathered(const at::Tensor& x, const at::Tensor& rows) const {
    return at::index(x, {rows, heads_index_}).to(at::kFloat);
  }

  // Divided by sqrt(D) and, in an LSH layer, by their root mean square.
  at::Tensor Keys(const at::Tensor& rows) const {
    const at::Tensor keys = Gathered(k_, rows);
    const double scale = 1 / std::sqrt(static_cast<double>(k_.size(2)));
    if (!lsh_) return keys * scale;
    return keys * keys.square().mean(-1, /*keepdim=*/true).add_(1e-6).rsqrt_().mul_(scale);
  }

  // [H, m, places, keys]. A later mask replaces an earlier one.
  at::Tensor Scores(const at::Tensor& query_rows, const at::Tensor& key_rows,
                    const at::Tensor& keys) const {
    at::Tensor scores = at::matmul(Gathered(q_, query_rows), keys.transpose(2, 3));
    const at::Tensor query = query_rows.unsqueeze(3), key = key_rows.unsqueeze(2);
    if (run_.read.defined()) {
      const at::Tensor unread = at::index(run_.read, {key}).logical_not();
      scores.masked_fill_(unread, kMaskScore);
    }
    if (run_.shape.causal) scores.masked_fill_(key > query, kMaskScore);
    if (lsh_) scores.masked_fill_(key == query, kSelfScore);
    return scores;
  }

  const at::Tensor &q_, &k_, &v_;
  const ChunkRun& run_;
  const int64_t heads_;
  const bool lsh_;
  int64_t chunk_length_ = 0, before_ = 0, after_ = 0;
  int64_t chunks_a_round_ = 0;
  int64_t circle_ = 0;      // chunks of all rounds
  at::Tensor rows_;         // [H, circle, C], of the slots
  at::Tensor heads_index_;  // [H, 1, 1]
};

}  // namespace

at::Tensor PortableBackend::SortByBucket(const at::Tensor& exact, const ChunkRun& run) const {
  const int64_t rows = exact.size(0), heads = exact.size(1);
  const int64_t unread_bucket = std::accumulate(run.factors.begin(), run.factors.end(), int64_t{1},
                                                std::multiplies<int64_t>());
  at::Tensor order = at::empty({heads, run.num_rounds, rows}, exact.options().dtype(at::kInt));
  for (size_t text = 0; text + 1 < run.text_begin.size(); ++text) {
    const int64_t begin = run.text_begin[text], end = run.text_begin[text + 1];
    at::Tensor of_text = order.slice(2, begin, end);
    if (!IsCut(end - begin, run)) {
      of_text.copy_(Range(begin, end, exact));
      continue;
    }
    const int64_t rows_at_once = RowsOfScores(heads, 2 * run.rotations.size(2));
    std::vector<at::Tensor> buckets;
    for (int64_t row = begin; row < end; row += rows_at_once)
      buckets.push_back(Buckets(exact.slice(0, row, std::min(row + rows_at_once, end)), run));
    at::Tensor all = at::cat(buckets, 1).transpose(1, 2);  // [H, R, length]
    if (run.read.defined())
      all = all.masked_fill(run.read.slice(0, begin, end).logical_not(), unread_bucket);
    of_text.copy_(
        std::get<1>(at::sort(all, /*stable=*/std::optional(true), /*dim=*/2)).add_(begin));
  }
  return order;
}

void PortableBackend::AttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const at::Tensor& order, const ChunkRun& run, at::Tensor& out,
                                   at::Tensor& lse) const {
  for (size_t text = 0; text + 1 < run.text_begin.size(); ++text) {
    const int64_t begin = run.text_begin[text], end = run.text_begin[text + 1];
    const ChunksOfText chunks(q, k, v, order, run, begin, end);
    chunks.Run(out, lse);
    const int64_t missing = out.size(2) - chunks.num_rounds();
    if (missing > 0) {
      lse.slice(0, begin, end).narrow(2, chunks.num_rounds(), missing).fill_(kMinusInfinity);
    }
  }
}

// A round that a text does not have has the weight 0, and nothing was written there.
void PortableBackend::MergeRounds(const at::Tensor& parts, const at::Tensor& lse,
                                  at::Tensor& out) const {
  const at::Tensor weights = (lse - at::logsumexp(lse, {-1}, /*keepdim=*/true)).exp_();
  at::Tensor sum = at::zeros(out.sizes(), out.options().dtype(at::kFloat));
  for (int64_t round = 0; round < lse.size(2); ++round) {
    const at::Tensor absent = lse.select(2, round).isneginf().unsqueeze(-1);
    const at::Tensor part = parts.select(2, round).to(at::kFloat).masked_fill(absent, 0);
    sum.addcmul_(part, weights.select(2, round).unsqueeze(-1));
  }
  out.copy_(sum);
}

}  // namespace longspan
