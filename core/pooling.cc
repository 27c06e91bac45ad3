// How many ranges share one pass over the rows.
//
// The ranges of a text may overlap in any way. Adding each row to each range that covers it would
// cost the sum of all their lengths: for 4096 overlapping ranges of a text of 64K tokens, 268
// million row additions. Instead the text is cut at every begin and end of a range. Between two
// such boundaries all open ranges see the same rows, so these are accumulated once, into a segment,
// and the segment is merged into the open ranges at the next boundary:
//
//   ranges  [0,6) and [4,9)      boundaries 0 4 6 9      segments [0,4) [4,6) [6,9)
//   [0,6) = segment 0 + segment 1                        [4,9) = segment 1 + segment 2
//
// Merging is exact for every mode. Only weightedmean needs thought: the segment weighs its rows 1,
// 2, 3, ... from its own first slot on, but behind k slots of the range they must weigh k+1, k+2,
// ...:
//
//   weighted_sum(range) += weighted_sum(segment) + k * sum(segment)
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

void AppendScaled(const std::vector<double>& sum, double divisor, std::vector<float>* out) {
  for (const double value : sum) out->push_back(static_cast<float>(value / divisor));
}

}  // namespace

StreamingPooler::StreamingPooler(PoolingTask task)
    : task_(std::move(task)), accumulators_(task_.ranges.size()), vectors_(task_.ranges.size()) {
  for (const PoolingMode mode : task_.modes) {
    needs_.sum |= mode == PoolingMode::kMean || mode == PoolingMode::kMeanSqrtLen ||
                  mode == PoolingMode::kWeightedMean;
    needs_.weighted_sum |= mode == PoolingMode::kWeightedMean;
    needs_.max |= mode == PoolingMode::kMax;
    needs_.first |= mode == PoolingMode::kCls;
    needs_.last |= mode == PoolingMode::kLastToken;
  }
  for (const TokenRange& range : task_.ranges)
    boundaries_.insert(boundaries_.end(), {range.begin, range.end});
  std::sort(boundaries_.begin(), boundaries_.end());
  boundaries_.erase(std::unique(boundaries_.begin(), boundaries_.end()), boundaries_.end());
  by_begin_.resize(task_.ranges.size());
  std::iota(by_begin_.begin(), by_begin_.end(), size_t{0});
  std::stable_sort(by_begin_.begin(), by_begin_.end(), [this](size_t a, size_t b) {
    return task_.ranges[a].begin < task_.ranges[b].begin;
  });
  rows_needed_ = CountRowsNeeded();
  Reset(&segment_);
  if (!boundaries_.empty() && boundaries_[0] == 0) CrossBoundary();
}

bool StreamingPooler::IsRead(int64_t token) const {
  return token >= task_.pooling_begin &&
         (task_.attention_mask.empty() || task_.attention_mask[static_cast<size_t>(token)] != 0);
}

int64_t StreamingPooler::CountRowsNeeded() const {
  const bool first_row_only = needs_.first && !needs_.sum && !needs_.max && !needs_.last;
  int64_t needed = 0;
  for (const TokenRange& range : task_.ranges) {
    int64_t end = range.end;
    if (first_row_only) {
      for (end = range.begin; end < range.end && !IsRead(end); ++end) {
      }
      end = std::min(end + 1, range.end);
    }
    needed = std::max(needed, end);
  }
  return needed;
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
    AddRow(rows, IsRead(next_token_));
    rows += task_.dimensions;
    ++next_token_;
    if (next_boundary_ < boundaries_.size() && boundaries_[next_boundary_] == next_token_)
      CrossBoundary();
  }
}

void StreamingPooler::AddRow(const float* row, bool is_read) {
  const auto slot_weight = static_cast<double>(++segment_.num_slots);
  if (!is_read || open_.empty()) return;
  const auto width = static_cast<size_t>(task_.dimensions);
  for (size_t d = 0; d < segment_.sum.size(); ++d) segment_.sum[d] += row[d];
  for (size_t d = 0; d < segment_.weighted_sum.size(); ++d)
    segment_.weighted_sum[d] += slot_weight * row[d];
  for (size_t d = 0; d < segment_.max.size(); ++d) {
    const bool replaces = row[d] > segment_.max[d] || std::isnan(row[d]);
    segment_.max[d] = replaces ? row[d] : segment_.max[d];
  }
  if (needs_.first && segment_.num_read == 0) segment_.first.assign(row, row + width);
  if (needs_.last) segment_.last.assign(row, row + width);
  ++segment_.num_read;
  segment_.weight += slot_weight;
}

void StreamingPooler::Merge(const Accumulator& segment, Accumulator* range) const {
  const auto slots_before = static_cast<double>(range->num_slots);
  for (size_t d = 0; d < range->sum.size(); ++d) range->sum[d] += segment.sum[d];
  for (size_t d = 0; d < range->weighted_sum.size(); ++d) {
    range->weighted_sum[d] += segment.weighted_sum[d] + slots_before * segment.sum[d];
  }
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

void StreamingPooler::CrossBoundary() {
  for (const size_t range : open_) Merge(segment_, &accumulators_[range]);
  Reset(&segment_);
  ++next_boundary_;
  std::erase_if(open_, [this](size_t range) {
    if (task_.ranges[range].end != next_token_) return false;
    vectors_[range] = Pool(accumulators_[range]);
    accumulators_[range] = {};
    return true;
  });
  for (;
       next_range_ < by_begin_.size() && task_.ranges[by_begin_[next_range_]].begin == next_token_;
       ++next_range_) {
    const size_t range = by_begin_[next_range_];
    if (task_.ranges[range].size() == 0) continue;  // TakeVector gives zeros for it
    Reset(&accumulators_[range]);
    open_.push_back(range);
  }
}

std::vector<float> StreamingPooler::Pool(const Accumulator& range) const {
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
  if (std::find(open_.begin(), open_.end(), range) != open_.end()) {
    Accumulator so_far = accumulators_[range];
    Merge(segment_, &so_far);
    return Pool(so_far);
  }
  if (vectors_[range].empty())
    return std::vector<float>(static_cast<size_t>(task_.dimensions) * task_.modes.size());
  return std::move(vectors_[range]);
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
