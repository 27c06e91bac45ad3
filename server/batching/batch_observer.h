// BatchObserver: what the engine tells metrics and logs. All methods may be called from any worker
// thread and must not block. Queue depth and age are read from BatchScheduler::depth and
// Admission::backlog when metrics are collected.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/batching/lanes.h"

namespace longspan {

// One finished forward pass.
struct BatchReport {
  Lane lane = Lane::kShort;
  int32_t texts = 0;
  std::span<const int64_t> lengths;  // tokens of each text; valid only during the call
  bool complete =
      true;  // every text was computed to its end: none dropped, none failed, nothing run twice
  int64_t tokens = 0;
  int64_t padded_tokens =
      0;  // as the model computes them; wasted ratio = 1 - tokens / padded_tokens
  double predicted_seconds = 0;
  absl::Duration compute;  // less the passes that ran between its layers
  double wasted_ratio() const {
    return padded_tokens == 0 ? 0 : 1.0 - static_cast<double>(tokens) / padded_tokens;
  }
  double prediction_error() const {
    return predicted_seconds / absl::ToDoubleSeconds(compute) - 1;
  }  // 0 = exact, 1 = twice too much
};

class BatchObserver {
 public:
  virtual ~BatchObserver() = default;
  virtual void OnBatch(const BatchReport& report) {}
  virtual void OnQueueTime(Lane lane, absl::Duration waited) {
  }  // each piece, when its batch starts
  virtual void OnOutOfMemorySplit(int32_t texts) {
  }  // a batch of so many texts is run again in halves
};

// Tells each of several observers, in order. They must outlive it.
class BatchObservers final : public BatchObserver {
 public:
  explicit BatchObservers(std::vector<BatchObserver*> observers)
      : observers_(std::move(observers)) {}

  void OnBatch(const BatchReport& report) override {
    for (BatchObserver* observer : observers_) observer->OnBatch(report);
  }
  void OnQueueTime(Lane lane, absl::Duration waited) override {
    for (BatchObserver* observer : observers_) observer->OnQueueTime(lane, waited);
  }
  void OnOutOfMemorySplit(int32_t texts) override {
    for (BatchObserver* observer : observers_) observer->OnOutOfMemorySplit(texts);
  }

 private:
  const std::vector<BatchObserver*> observers_;
};

}  // namespace longspan
