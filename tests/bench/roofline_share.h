// The arithmetic of %roofline: which part of what the machine allows a kernel reaches.
//
// A pass of a kernel has a bound, the least time in which the units and the memory could do it:
//   bound = max(sum over units of FLOP / peak, bytes / bandwidth)
//     (Williams, Waterman and Patterson 2009; with several units, one after the other)
// A repetition is a pass, and right before and after it a slice of each limit: some milliseconds of
// nothing but multiply-adds, or copies. Its share is bound / pass, all of it by wall time within
// that one repetition, so that a machine that is slow for a while, or throttled, slows both. The
// share of a run is the median of its repetitions.
//   Example: a pass of 6 GFLOP takes 20 ms, and its slices ran at 400 and 440 GFLOP/s. The bound is
//   6 / 420 s = 14.3 ms and the share 71 %.
// Proven by roofline_share_test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace longspan::bench {

// Work that a slice did, in FLOP or bytes, and the seconds that it took.
struct Slice {
  double work = 0;
  double seconds = 0;
};

// One limit of a pass: its work, and what the slices beside that pass did.
struct Limit {
  double work = 0;  // FLOP or bytes of the pass
  Slice before, after;

  // Work a second, of both slices together.
  double Rate() const { return (before.work + after.work) / (before.seconds + after.seconds); }
  double Seconds() const { return work > 0 ? work / Rate() : 0; }
};

// One pass and its limits.
struct Repetition {
  double seconds = 0;        // of the pass
  std::vector<Limit> units;  // the pass uses one after the other
  Limit memory;              // work 0 = memory does not limit it

  double Bound() const {
    double bound = 0;
    for (const Limit& unit : units) bound += unit.Seconds();
    return std::max(bound, memory.Seconds());
  }
  double Share() const { return Bound() / seconds; }
};

inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

inline double MedianShare(const std::vector<Repetition>& repetitions) {
  std::vector<double> shares;
  for (const Repetition& one : repetitions) shares.push_back(one.Share());
  return Median(std::move(shares));
}

}  // namespace longspan::bench
