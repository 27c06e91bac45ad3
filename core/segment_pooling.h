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

#include "core/backend/backend.h"
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

// Of each text, the vectors of its ranges, [modes x dimensions] each.
using PooledVectors = std::vector<std::vector<std::vector<float>>>;

// Vectors that the device still computes, or that are on their way to the host.
struct PendingVectors {
  struct Target {
    size_t text = 0;              // its place among the pooled texts
    size_t range = 0;             // of its task
    std::vector<int64_t> places;  // of its vector, where the values of one mode begin
  };
  struct Part {
    HostCopy rows;  // a row for each target
    std::vector<Target> targets;
  };

  // Waits for them. Called once.
  PooledVectors Wait();

  PooledVectors vectors;  // zeros so far
  std::vector<Part> parts;
};

// Puts the pooling of all ranges on the device's queue. `hidden` is on a backend. Where it has one
// row for each text (cls pooling), nothing else may be needed.
PendingVectors PoolSegments(const HiddenStates& hidden, const std::vector<PooledText>& texts);

}  // namespace longspan
