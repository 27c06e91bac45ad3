// BatchObserver: what the engine tells metrics and logs. All methods may be called from any worker thread and must not block.
// Queue depth and age are read from BatchScheduler::depth and Admission::backlog when metrics are collected.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/batching/lanes.h"

namespace longspan {

// One finished forward pass.
struct BatchReport {
  Lane lane = Lane::kShort;
  int32_t texts = 0;
  int64_t tokens = 0;
  int64_t padded_tokens = 0;  // as the model computes them; wasted ratio = 1 - tokens / padded_tokens
  double predicted_seconds = 0;
  absl::Duration compute;  // less the passes that ran between its layers
  double wasted_ratio() const { return padded_tokens == 0 ? 0 : 1.0 - static_cast<double>(tokens) / padded_tokens; }
  double prediction_error() const {
    return predicted_seconds / absl::ToDoubleSeconds(compute) - 1;
  }  // 0 = exact, 1 = twice too much
};

class BatchObserver {
 public:
  virtual ~BatchObserver() = default;
  virtual void OnBatch(const BatchReport& report) {}
  virtual void OnQueueTime(Lane lane, absl::Duration waited) {}  // each piece, when its batch starts
  virtual void OnOutOfMemorySplit(int32_t texts) {}              // a batch of so many texts is run again in halves
};

}  // namespace longspan
