// How the ranges of a batch are pooled on a device.
//
// The begins and ends of the ranges cut the rows into pieces, and long pieces are cut again at
// kPieceRows. Each row belongs to one piece, and a range is some consecutive pieces. A piece is
// reduced by the backend (ReduceSegments). What a range makes of its pieces is found by doubling:
// level k holds, for each piece, what the 2^k pieces from there on give together, and a range of 11
// pieces takes 1 + 2 + 8 of them.
//
//   ranges [0,6) [2,9)     pieces  p0 = [0,2)  p1 = [2,6)  p2 = [6,9)
//   level 0: p0  p1  p2    level 1: p0+p1  p1+p2        both ranges are one entry of level 1
//
// Nothing is ever subtracted, as prefix sums would do it. Weights of weightedmean count from 1 in
// each piece; behind k slots they must count from k + 1:
//
//   weighted_sum(a + b) = weighted_sum(a) + weighted_sum(b) + k * sum(b)     with k slots in a
//
// Counts of rows and sums of weights follow from masks and ranges alone, which the host knows, so
// the device is not asked for anything until the vectors are done. The tables of doubling are the
// parallel form of union-find with path compression in core/pooling.cc.
#include "core/segment_pooling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "core/backend/backend.h"

namespace longspan {
namespace {

// Most rows of a piece; a kernel may add them one after the other.
constexpr int64_t kPieceRows = 256;
// Rows that are reduced at once: their float64 copy of 768 values takes 50 MiB.
constexpr int64_t kReducedRows = 8192;

// A range of a text of which some row is read. Rows are those of the model's own layout.
struct Range {
  size_t text = 0;   // its place among the pooled texts
  size_t range = 0;  // of its task
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first_read = 0;  // a row
  int64_t last_read = 0;   // a row
  double num_read = 0;     // rows with m = 1
  double weight = 0;       // the sum of their weights, which are 1, 2, 3, ... by place in the range
};

// What follows for the ranges of a text from its mask alone.
class ReadTokens {
 public:
  explicit ReadTokens(const PoolingTask& task) {
    int64_t tokens = 0;
    for (const TokenRange& range : task.ranges) tokens = std::max(tokens, range.end);
    for (int64_t token = 0; token < tokens; ++token) {
      const bool read = task.IsRead(token);
      count_.push_back(count_.back() + read);
      places_.push_back(places_.back() + (read ? token : 0));
      last_.push_back(read ? token : last_.back());
    }
    first_.assign(tokens + 1, tokens);
    for (int64_t token = tokens - 1; token >= 0; --token)
      first_[token] = task.IsRead(token) ? token : first_[token + 1];
  }

  int64_t Count(const TokenRange& range) const { return count_[range.end] - count_[range.begin]; }
  // Of a range with some token that is read.
  Range Describe(const TokenRange& range, int64_t text_begin) const {
    const int64_t count = Count(range);
    const int64_t places = places_[range.end] - places_[range.begin];
    return {.begin = text_begin + range.begin,
            .end = text_begin + range.end,
            .first_read = text_begin + first_[range.begin],
            .last_read = text_begin + last_[range.end],
            .num_read = static_cast<double>(count),
            .weight = static_cast<double>(places + (1 - range.begin) * count)};
  }

 private:
  // [tokens + 1], of the tokens before each that are read: how many, the sum of their numbers, and
  // the last one.
  std::vector<int64_t> count_ = {0}, places_ = {0}, last_ = {-1};
  std::vector<int64_t> first_;  // [tokens + 1], the first that is read from each on
};

// Rows of the model's layout, and which of them are read; `read` undefined = all are.
struct PooledRows {
  const DeviceRows& rows;
  at::Tensor read;

  const Backend& backend() const { return *rows.backend; }
  at::Tensor Slice(int64_t begin, int64_t end) const {
    return rows.Finish(rows.rows.slice(0, begin, end));
  }
};

at::Tensor UploadReadRows(const HiddenStates& hidden, const std::vector<PooledText>& texts) {
  std::vector<uint8_t> read(hidden.on_backend()->rows.size(0), 1);
  bool all = true;
  for (const PooledText& text : texts) {
    const int64_t begin = hidden.text_begin(text.text);
    int64_t tokens = 0;
    for (const TokenRange& range : text.task->ranges) tokens = std::max(tokens, range.end);
    tokens = std::min(tokens, static_cast<int64_t>(read.size()) - begin);
    for (int64_t token = 0; token < tokens; ++token) {
      read[begin + token] = text.task->IsRead(token);
      all = all && read[begin + token] != 0;
    }
  }
  return all ? at::Tensor() : hidden.on_backend()->backend->Upload(at::tensor(read).ne(0));
}

// Pools some ranges, which ascend by their begins.
class RangePooler {
 public:
  RangePooler(const PooledRows& rows, const std::vector<PooledText>& texts,
              std::span<const Range> ranges)
      : rows_(rows), texts_(texts), ranges_(ranges) {
    for (const Range& range : ranges) {
      const std::vector<PoolingMode>& modes = ModesOf(range);
      modes_.insert(modes_.end(), modes.begin(), modes.end());
    }
    std::sort(modes_.begin(), modes_.end());
    modes_.erase(std::unique(modes_.begin(), modes_.end()), modes_.end());
  }

  // Puts the work on the device's queue, and what it gives on its way to `pending`.
  void Run(PendingVectors& pending) {
    const PoolingNeeds needs(modes_);
    if (needs.sum || needs.max) {
      CutPieces();
      JoinPieces(ReducePieces(needs));
    }
    for (const PoolingMode mode : modes_) Send(mode, pending);
  }

 private:
  const std::vector<PoolingMode>& ModesOf(const Range& range) const {
    return texts_[range.text].task->modes;
  }
  at::Tensor Index(const std::vector<int64_t>& numbers) const {
    return rows_.backend().Upload(at::tensor(numbers));
  }
  // Rows that `count` consecutive pieces have together.
  int64_t SlotsOf(int64_t piece, int64_t count) const {
    return pieces_[piece + count - 1].end - pieces_[piece].begin;
  }

  void CutPieces();
  SegmentValues ReducePieces(const PoolingNeeds& needs) const;
  void JoinPieces(SegmentValues level);
  SegmentValues Doubled(const SegmentValues& level, int64_t count) const;
  at::Tensor Values(PoolingMode mode, const std::vector<int64_t>& ranges) const;
  void Send(PoolingMode mode, PendingVectors& pending) const;

  const PooledRows& rows_;
  const std::vector<PooledText>& texts_;
  const std::span<const Range> ranges_;
  std::vector<PoolingMode> modes_;  // that some range wants
  std::vector<TokenRange> pieces_;  // rows
  SegmentValues joined_;            // [ranges, E]
};

void RangePooler::CutPieces() {
  std::vector<int64_t> cuts;
  for (const Range& range : ranges_) cuts.insert(cuts.end(), {range.begin, range.end});
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  int64_t covered = 0;  // where the ranges end that have begun
  size_t next = 0;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    for (; next < ranges_.size() && ranges_[next].begin <= cuts[i]; ++next)
      covered = std::max(covered, ranges_[next].end);
    if (covered <= cuts[i]) continue;  // no range holds the rows up to the next cut
    for (int64_t row = cuts[i]; row < cuts[i + 1]; row += kPieceRows)
      pieces_.push_back({row, std::min(row + kPieceRows, cuts[i + 1])});
  }
}

// Pieces that lie one behind the other go to the backend together.
SegmentValues RangePooler::ReducePieces(const PoolingNeeds& needs) const {
  std::vector<at::Tensor> sum, weighted_sum, max;
  for (size_t first = 0, last = 0; first < pieces_.size(); first = last) {
    const int64_t begin = pieces_[first].begin;
    std::vector<int64_t> lengths;
    std::vector<float> weights;
    for (int64_t end = begin; last < pieces_.size() && pieces_[last].begin == end &&
                              pieces_[last].end - begin <= kReducedRows;
         end = pieces_[last++].end) {
      lengths.push_back(pieces_[last].size());
      for (int64_t slot = 1; needs.weighted_sum && slot <= lengths.back(); ++slot)
        weights.push_back(static_cast<float>(slot));
    }
    const int64_t end = pieces_[last - 1].end;
    Segments segments{.lengths = Index(lengths), .sum = needs.sum, .max = needs.max};
    if (needs.weighted_sum) segments.weights = rows_.backend().Upload(at::tensor(weights));
    if (rows_.read.defined()) segments.read = rows_.read.slice(0, begin, end);
    const SegmentValues part = rows_.backend().ReduceSegments(rows_.Slice(begin, end), segments);
    sum.push_back(part.sum);
    weighted_sum.push_back(part.weighted_sum);
    max.push_back(part.max);
  }
  SegmentValues all;
  if (needs.sum) all.sum = at::cat(sum);
  if (needs.weighted_sum) all.weighted_sum = at::cat(weighted_sum);
  if (needs.max) all.max = at::cat(max);
  return all;
}

// What `count` pieces give together becomes what twice as many give: entry i with entry i + count.
SegmentValues RangePooler::Doubled(const SegmentValues& level, int64_t count) const {
  const int64_t entries = static_cast<int64_t>(pieces_.size()) - 2 * count + 1;
  const auto before = [&](const at::Tensor& x) { return x.narrow(0, 0, entries); };
  const auto behind = [&](const at::Tensor& x) { return x.narrow(0, count, entries); };
  SegmentValues doubled;
  if (level.sum.defined()) doubled.sum = before(level.sum) + behind(level.sum);
  if (level.weighted_sum.defined()) {
    std::vector<double> slots;
    slots.reserve(entries);
    for (int64_t i = 0; i < entries; ++i) slots.push_back(static_cast<double>(SlotsOf(i, count)));
    const at::Tensor slots_before = rows_.backend().Upload(at::tensor(slots)).unsqueeze(1);
    doubled.weighted_sum =
        before(level.weighted_sum) + behind(level.weighted_sum) + slots_before * behind(level.sum);
  }
  if (level.max.defined()) doubled.max = at::maximum(before(level.max), behind(level.max));
  return doubled;
}

void RangePooler::JoinPieces(SegmentValues level) {
  const auto start = [&](const at::Tensor& like, double value) {
    return like.defined() ? at::full({static_cast<int64_t>(ranges_.size()), like.size(1)}, value,
                                     like.options())
                          : at::Tensor();
  };
  joined_ = {.sum = start(level.sum, 0),
             .weighted_sum = start(level.weighted_sum, 0),
             .max = start(level.max, -std::numeric_limits<double>::infinity())};
  std::vector<int64_t> next, left;  // of each range: its next piece, and how many are left
  int64_t most = 0;
  for (const Range& range : ranges_) {
    const auto place = [&](int64_t row) {
      return std::lower_bound(
                 pieces_.begin(), pieces_.end(), row,
                 [](const TokenRange& piece, int64_t at) { return piece.begin < at; }) -
             pieces_.begin();
    };
    next.push_back(place(range.begin));
    left.push_back(place(range.end) - next.back());
    most = std::max(most, left.back());
  }
  for (int64_t count = 1; count <= most; count *= 2) {
    if (count > 1) level = Doubled(level, count / 2);
    std::vector<int64_t> ranges, entries;
    std::vector<double> slots;  // of each range so far
    for (size_t i = 0; i < ranges_.size(); ++i) {
      if ((left[i] & count) == 0) continue;
      ranges.push_back(static_cast<int64_t>(i));
      entries.push_back(next[i]);
      slots.push_back(static_cast<double>(pieces_[next[i]].begin - ranges_[i].begin));
      next[i] += count;
    }
    if (ranges.empty()) continue;
    const at::Tensor to = Index(ranges), from = Index(entries);
    if (joined_.weighted_sum.defined()) {
      const at::Tensor slots_before = rows_.backend().Upload(at::tensor(slots)).unsqueeze(1);
      joined_.weighted_sum.index_add_(0, to,
                                      level.weighted_sum.index_select(0, from) +
                                          slots_before * level.sum.index_select(0, from));
    }
    if (joined_.sum.defined()) joined_.sum.index_add_(0, to, level.sum.index_select(0, from));
    if (joined_.max.defined()) {
      joined_.max.index_copy_(
          0, to, at::maximum(joined_.max.index_select(0, to), level.max.index_select(0, from)));
    }
  }
}

// What a mode gives for some of the ranges, [n, E] on the device.
at::Tensor RangePooler::Values(PoolingMode mode, const std::vector<int64_t>& ranges) const {
  const auto gather = [&](auto row_of) {
    std::vector<int64_t> rows;
    rows.reserve(ranges.size());
    for (const int64_t i : ranges) rows.push_back(row_of(ranges_[i]));
    return rows_.rows.Finish(rows_.backend().Gather(rows_.rows.rows, Index(rows)));
  };
  const auto scaled = [&](const at::Tensor& sum, auto divisor_of) {
    std::vector<double> divisors;
    divisors.reserve(ranges.size());
    for (const int64_t i : ranges) divisors.push_back(divisor_of(ranges_[i]));
    return sum.index_select(0, Index(ranges)) /
           rows_.backend().Upload(at::tensor(divisors)).unsqueeze(1);
  };
  switch (mode) {
    case PoolingMode::kCls:
      return gather([](const Range& range) { return range.first_read; });
    case PoolingMode::kLastToken:
      return gather([](const Range& range) { return range.last_read; });
    case PoolingMode::kMax:
      return joined_.max.index_select(0, Index(ranges));
    case PoolingMode::kMean:
      return scaled(joined_.sum, [](const Range& range) { return range.num_read; });
    case PoolingMode::kMeanSqrtLen:
      return scaled(joined_.sum, [](const Range& range) { return std::sqrt(range.num_read); });
    case PoolingMode::kWeightedMean:
      return scaled(joined_.weighted_sum, [](const Range& range) { return range.weight; });
  }
  TORCH_CHECK(false, "a mode of pooling that is not known");
}

void RangePooler::Send(PoolingMode mode, PendingVectors& pending) const {
  std::vector<int64_t> wanted;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const std::vector<PoolingMode>& modes = ModesOf(ranges_[i]);
    if (std::find(modes.begin(), modes.end(), mode) != modes.end())
      wanted.push_back(static_cast<int64_t>(i));
  }
  PendingVectors::Part part;
  part.rows = rows_.backend().ReadBack(Values(mode, wanted).to(at::kFloat).contiguous());
  for (const int64_t i : wanted) {
    const std::vector<PoolingMode>& modes = ModesOf(ranges_[i]);
    const int64_t width = texts_[ranges_[i].text].task->dimensions;
    std::vector<int64_t> places;
    for (size_t place = 0; place < modes.size(); ++place) {
      if (modes[place] == mode) places.push_back(static_cast<int64_t>(place) * width);
    }
    part.targets.push_back({ranges_[i].text, ranges_[i].range, std::move(places)});
  }
  pending.parts.push_back(std::move(part));
}

}  // namespace

PooledVectors PendingVectors::Wait() {
  for (Part& part : parts) {
    const at::Tensor values = part.rows();
    const int64_t width = values.size(1);
    const float* row = values.const_data_ptr<float>();
    for (const Target& target : part.targets) {
      for (const int64_t place : target.places)
        std::copy(row, row + width, vectors[target.text][target.range].begin() + place);
      row += width;
    }
    part = {};
  }
  return std::move(vectors);
}

PendingVectors PoolSegments(const HiddenStates& hidden, const std::vector<PooledText>& texts) {
  PendingVectors pending;
  pending.vectors.resize(texts.size());
  std::vector<Range> ranges;
  for (size_t text = 0; text < texts.size(); ++text) {
    const PoolingTask& task = *texts[text].task;
    // A range without a row that is read keeps its zeros.
    pending.vectors[text].assign(task.ranges.size(),
                                 std::vector<float>(task.dimensions * task.modes.size()));
    const ReadTokens tokens(task);
    for (size_t range = 0; range < task.ranges.size(); ++range) {
      if (tokens.Count(task.ranges[range]) == 0) continue;
      ranges.push_back(tokens.Describe(task.ranges[range], hidden.text_begin(texts[text].text)));
      ranges.back().text = text;
      ranges.back().range = range;
    }
  }
  std::stable_sort(ranges.begin(), ranges.end(),
                   [](const Range& a, const Range& b) { return a.begin < b.begin; });
  const PooledRows rows{*hidden.on_backend(), UploadReadRows(hidden, texts)};
  const std::span<const Range> all = ranges;
  for (size_t begin = 0; begin < all.size(); begin += kRangesAtOnce) {
    const size_t count = std::min<size_t>(kRangesAtOnce, all.size() - begin);
    RangePooler(rows, texts, all.subspan(begin, count)).Run(pending);
  }
  return pending;
}

}  // namespace longspan
