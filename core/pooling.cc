// How many ranges share one pass over the rows.
//
// The ranges of a text may overlap in any way. Adding each row to each range that covers it would
// cost the sum of all their lengths: for 65,536 overlapping ranges of a text of 64K tokens, two
// thousand million rows. Instead each row is added once, to the segment that the latest begin of a
// range has opened. A segment links to the next one, and a range that ends merges the segments from
// its begin up to now:
//
//   ranges  [0,6) [2,9) [4,9)      segments  s0 = [0,2) -> s2 = [2,4) -> s4 = [4,now)
//   at 6:   [0,6) = s0 + s2 + s4
//
// On the way it shortens the path, as union-find does: s0 takes in s2, becomes [0,4), and links to
// s4 at once. So the next range with an early begin takes one step where this one took two. The
// number of merges is O((ranges + segments) log segments) whatever the ranges are (Tarjan,
// "Applications of path compression on balanced trees", J. ACM 26, 1979). 65,536 ranges over 8,000
// rows took one to five each, in seven patterns of overlap, and 2,000 without that step. A segment
// that no open range needs any more gives its memory back.
//
// Merging is exact for every mode. Only weightedmean needs thought: a segment weighs its rows 1, 2,
// 3, ... from its own first slot on, but behind k slots they must weigh k+1, k+2, ...:
//
//   weighted_sum(a + b) = weighted_sum(a) + weighted_sum(b) + k * sum(b)     with k slots in a
//
// Nothing is ever subtracted, as prefix sums would do it, so no digits cancel, and a row with NaN
// or Inf spoils only the ranges that hold it.
#include "core/pooling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace longspan {
namespace {

constexpr double kMinCount = 1e-9;  // sentence-transformers' guard against a division by zero
constexpr double kMinNorm = 1e-12;  // the same of torch.nn.functional.normalize
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

void AppendScaled(const std::vector<double>& sum, double divisor, std::vector<float>* out) {
  for (const double value : sum) out->push_back(static_cast<float>(value / divisor));
}

// Ranges that have tokens, ordered by `key`.
template <typename Key>
std::vector<size_t> NotEmptyBy(std::span<const TokenRange> ranges, Key key) {
  std::vector<size_t> order;
  order.reserve(ranges.size());
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].size() > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return key(ranges[a]) < key(ranges[b]); });
  return order;
}

int64_t BeginOf(const TokenRange& range) { return range.begin; }
int64_t EndOf(const TokenRange& range) { return range.end; }

}  // namespace

PoolingNeeds::PoolingNeeds(std::span<const PoolingMode> modes) {
  for (const PoolingMode mode : modes) {
    sum |= mode == PoolingMode::kMean || mode == PoolingMode::kMeanSqrtLen ||
           mode == PoolingMode::kWeightedMean;
    weighted_sum |= mode == PoolingMode::kWeightedMean;
    max |= mode == PoolingMode::kMax;
    first |= mode == PoolingMode::kCls;
    last |= mode == PoolingMode::kLastToken;
  }
}

int64_t PoolingNeeds::bytes_per_value() const {
  return (sum + weighted_sum) * static_cast<int64_t>(sizeof(double)) +
         (max + first + last) * static_cast<int64_t>(sizeof(float));
}

bool PoolingTask::IsRead(int64_t token) const {
  return token >= pooling_begin &&
         (attention_mask.empty() || attention_mask[static_cast<size_t>(token)] != 0);
}

int64_t RowsNeeded(const PoolingTask& task) {
  const PoolingNeeds needs(task.modes);
  const bool first_row_only = needs.first && !needs.sum && !needs.max && !needs.last;
  const std::vector<size_t> order = NotEmptyBy(task.ranges, BeginOf);
  int64_t needed = 0;
  for (const size_t i : order) needed = std::max(needed, task.ranges[i].end);
  if (!first_row_only) return needed;
  // In the order of their begins, so that each token is looked at once for all ranges.
  const int64_t last = std::exchange(needed, 0);
  int64_t read = -1;  // the first token with m = 1 from the range's begin on
  for (const size_t i : order) {
    const TokenRange& range = task.ranges[i];
    if (read < range.begin) {
      for (read = range.begin; read < last && !task.IsRead(read); ++read) {
      }
    }
    needed = std::max(needed, std::min(read + 1, range.end));
  }
  return needed;
}

std::vector<std::vector<size_t>> GroupRanges(const PoolingTask& task, int64_t max_bytes) {
  const int64_t segment_bytes =
      std::max<int64_t>(1, PoolingNeeds(task.modes).bytes_per_value() * task.dimensions);
  const int64_t max_begins = std::max<int64_t>(1, max_bytes / segment_bytes);
  std::vector<std::vector<size_t>> groups(1);
  int64_t begins = 0;
  int64_t last_begin = -1;
  for (const size_t i : NotEmptyBy(task.ranges, BeginOf)) {
    if (task.ranges[i].begin != last_begin && ++begins > max_begins) {
      groups.emplace_back();
      begins = 1;
    }
    last_begin = task.ranges[i].begin;
    groups.back().push_back(i);
  }
  return groups;
}

StreamingPooler::StreamingPooler(PoolingTask task)
    : task_(std::move(task)),
      needs_(task_.modes),
      rows_needed_(RowsNeeded(task_)),
      by_begin_(NotEmptyBy(task_.ranges, BeginOf)),
      by_end_(NotEmptyBy(task_.ranges, EndOf)),
      segment_of_(task_.ranges.size(), -1),
      vectors_(task_.ranges.size()) {
  CrossBoundary();
}

int64_t StreamingPooler::first_row() const {
  return by_begin_.empty() ? 0 : task_.ranges[by_begin_.front()].begin;
}

void StreamingPooler::Skip(int64_t num_rows) {
  next_token_ += num_rows;
  if (next_token_ == NextBoundary()) CrossBoundary();
}

// The next token at which a range begins or ends.
int64_t StreamingPooler::NextBoundary() const {
  const int64_t begin =
      next_begin_ < by_begin_.size() ? task_.ranges[by_begin_[next_begin_]].begin : kNever;
  const int64_t end = next_end_ < by_end_.size() ? task_.ranges[by_end_[next_end_]].end : kNever;
  return std::min(begin, end);
}

void StreamingPooler::Reset(Accumulator* accumulator) const {
  const auto width = static_cast<size_t>(task_.dimensions);
  accumulator->sum.assign(needs_.sum ? width : 0, 0.0);
  accumulator->weighted_sum.assign(needs_.weighted_sum ? width : 0, 0.0);
  accumulator->max.assign(needs_.max ? width : 0, -std::numeric_limits<float>::infinity());
  accumulator->first.clear();
  accumulator->last.clear();
  accumulator->num_read = 0;
  accumulator->weight = 0;
  accumulator->num_slots = 0;
}

void StreamingPooler::Add(const float* rows, int64_t num_rows) {
  const int64_t end = std::min(next_token_ + num_rows, rows_needed_);
  while (next_token_ < end) {
    const int64_t boundary = NextBoundary();
    for (const int64_t last = std::min(end, boundary); next_token_ < last; ++next_token_) {
      if (open_ranges_ > 0) AddRow(rows, task_.IsRead(next_token_), &segments_[current_].rows);
      rows += task_.dimensions;
    }
    if (next_token_ == boundary) CrossBoundary();
  }
}

void StreamingPooler::AddRow(const float* row, bool is_read, Accumulator* segment) {
  const auto slot_weight = static_cast<double>(++segment->num_slots);
  if (!is_read) return;
  work_ += task_.dimensions;
  const auto width = static_cast<size_t>(task_.dimensions);
  for (size_t d = 0; d < segment->sum.size(); ++d) segment->sum[d] += row[d];
  for (size_t d = 0; d < segment->weighted_sum.size(); ++d)
    segment->weighted_sum[d] += slot_weight * row[d];
  for (size_t d = 0; d < segment->max.size(); ++d) {
    const bool replaces = row[d] > segment->max[d] || std::isnan(row[d]);
    segment->max[d] = replaces ? row[d] : segment->max[d];
  }
  if (needs_.first && segment->num_read == 0) segment->first.assign(row, row + width);
  if (needs_.last) segment->last.assign(row, row + width);
  ++segment->num_read;
  segment->weight += slot_weight;
}

void StreamingPooler::Merge(const Accumulator& segment, Accumulator* range) {
  work_ += task_.dimensions;
  const auto slots_before = static_cast<double>(range->num_slots);
  for (size_t d = 0; d < range->weighted_sum.size(); ++d) {
    range->weighted_sum[d] += segment.weighted_sum[d] + slots_before * segment.sum[d];
  }
  for (size_t d = 0; d < range->sum.size(); ++d) range->sum[d] += segment.sum[d];
  for (size_t d = 0; d < range->max.size(); ++d) {
    if (segment.max[d] > range->max[d] || std::isnan(segment.max[d]))
      range->max[d] = segment.max[d];
  }
  if (range->first.empty()) range->first = segment.first;
  if (!segment.last.empty()) range->last = segment.last;
  range->weight += segment.weight + slots_before * static_cast<double>(segment.num_read);
  range->num_read += segment.num_read;
  range->num_slots += segment.num_slots;
}

// Makes every segment on the path from `segment` link to the current one.
void StreamingPooler::ShortenPath(int32_t segment) {
  path_.clear();
  while (segments_[segment].next >= 0) {
    path_.push_back(segment);
    segment = segments_[segment].next;
  }
  // The last of the path links to the current segment already.
  for (size_t i = path_.size(); i-- > 1;) {
    Segment& earlier = segments_[path_[i - 1]];
    const int32_t later = path_[i];
    Merge(segments_[later].rows, &earlier.rows);
    earlier.next = current_;
    ++segments_[current_].users;
    Forget(later);
  }
}

// One user of the segment is gone. Without any, its memory and its link are given back.
void StreamingPooler::Forget(int32_t segment) {
  while (segment >= 0 && --segments_[segment].users == 0 && segment != current_) {
    const int32_t next = segments_[segment].next;
    segments_[segment] = {};
    free_.push_back(segment);
    segment = next;
  }
}

std::vector<float> StreamingPooler::PoolUpToNow(size_t range) {
  const int32_t segment = segment_of_[range];
  if (segment == current_) return Pool(segments_[segment].rows);
  ShortenPath(segment);
  scratch_ = segments_[segment].rows;
  Merge(segments_[current_].rows, &scratch_);
  return Pool(scratch_);
}

void StreamingPooler::CrossBoundary() {
  for (; next_end_ < by_end_.size() && task_.ranges[by_end_[next_end_]].end == next_token_;
       ++next_end_) {
    const size_t range = by_end_[next_end_];
    vectors_[range] = PoolUpToNow(range);
    Forget(std::exchange(segment_of_[range], -1));
    --open_ranges_;
  }
  if (next_begin_ == by_begin_.size() || task_.ranges[by_begin_[next_begin_]].begin != next_token_)
    return;
  BeginSegment();
  for (;
       next_begin_ < by_begin_.size() && task_.ranges[by_begin_[next_begin_]].begin == next_token_;
       ++next_begin_) {
    segment_of_[by_begin_[next_begin_]] = current_;
    ++segments_[current_].users;
    ++open_ranges_;
  }
}

void StreamingPooler::BeginSegment() {
  int32_t segment = static_cast<int32_t>(segments_.size());
  if (free_.empty()) {
    segments_.emplace_back();
  } else {
    segment = free_.back();
    free_.pop_back();
  }
  Reset(&segments_[segment].rows);
  const int32_t before = std::exchange(current_, segment);
  if (before < 0) return;
  // The segment before links to this one, unless nothing needs it any more.
  segments_[before].next = segment;
  ++segments_[segment].users;
  ++segments_[before].users;
  Forget(before);
}

std::vector<float> StreamingPooler::Pool(const Accumulator& range) {
  work_ += task_.dimensions;
  const auto width = static_cast<size_t>(task_.dimensions);
  if (range.num_read == 0) return std::vector<float>(width * task_.modes.size());
  std::vector<float> vector;
  vector.reserve(width * task_.modes.size());
  const auto append = [&vector](const std::vector<float>& values) {
    vector.insert(vector.end(), values.begin(), values.end());
  };
  const double count = std::max(static_cast<double>(range.num_read), kMinCount);
  for (const PoolingMode mode : task_.modes) {
    switch (mode) {
      case PoolingMode::kCls:
        append(range.first);
        break;
      case PoolingMode::kLastToken:
        append(range.last);
        break;
      case PoolingMode::kMax:
        append(range.max);
        break;
      case PoolingMode::kMean:
        AppendScaled(range.sum, count, &vector);
        break;
      case PoolingMode::kMeanSqrtLen:
        AppendScaled(range.sum, std::sqrt(count), &vector);
        break;
      case PoolingMode::kWeightedMean:
        AppendScaled(range.weighted_sum, std::max(range.weight, kMinCount), &vector);
        break;
    }
  }
  return vector;
}

std::vector<float> StreamingPooler::TakeVector(size_t range) {
  // A range that is still open: its cls row was read, and the rest of it was not needed.
  if (segment_of_[range] >= 0) return PoolUpToNow(range);
  if (vectors_[range].empty())
    return std::vector<float>(static_cast<size_t>(task_.dimensions) * task_.modes.size());
  return std::move(vectors_[range]);
}

int64_t StreamingPooler::held_bytes() const {
  const auto live = static_cast<int64_t>(segments_.size() - free_.size());
  return live * needs_.bytes_per_value() * task_.dimensions;
}

void NormalizeL2(std::span<float> vector) {
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * value;
  const double norm = std::max(std::sqrt(squares), kMinNorm);
  for (float& value : vector) value = static_cast<float>(value / norm);
}

void CutAndNormalize(int64_t dimensions, bool normalize, std::vector<float>* vector) {
  if (dimensions > 0 && dimensions < static_cast<int64_t>(vector->size()))
    vector->resize(static_cast<size_t>(dimensions));
  if (normalize) NormalizeL2(*vector);
}

}  // namespace longspan
