// SegmentPooling: the pooling of core/pooling.h for hidden states that lie on a device, for all
// texts of a batch at once. Only the vectors travel to the host.
//
// It gives what StreamingPooler gives: sums are float64, nothing is subtracted, and a row with NaN
// or Inf spoils only the ranges that hold it. segment_pooling.cc says how. Cost: the rows that some
// range covers once for every kRangesAtOnce ranges, and O(log n) additions of rows for each range.
// Proven by segment_pooling_test (against StreamingPooler).
#pragma once

#include <cstdint>
#include <vector>

#include "core/models/model.h"
#include "core/pooling.h"

namespace longspan {

// Ranges that are pooled together. It bounds what lies on the device: some 2 x kRangesAtOnce
// segments of float64.
inline constexpr int64_t kRangesAtOnce = 4096;

struct PooledText {
  int32_t text = 0;                   // in the batch
  const PoolingTask* task = nullptr;  // its mask and ranges count from the text's first token
};

// The vectors of all ranges: for each text, in order, one of [modes x dimensions] for each range of
// its task. `hidden` is on a backend. Where it has one row for each text (cls pooling), nothing
// else may be needed.
std::vector<std::vector<std::vector<float>>> PoolSegments(const HiddenStates& hidden,
                                                          const std::vector<PooledText>& texts);

}  // namespace longspan
