// BatchObserver: what the workers tell metrics, logs and the cost model. All methods may be called
// from any worker thread and must not block. How much waits, and for how long, is not told here: it
// is read from BatchScheduler::depth and Admission::backlog when metrics are collected.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/text_shape.h"
#include "server/batching/lanes.h"

namespace longspan {

// One finished batch.
struct BatchReport {
  Lane lane = Lane::kShort;
  int32_t pieces = 0;
  std::span<const TextShape> texts;  // of each piece; valid only during the call
  // Every piece was computed to its end: none dropped, none failed, nothing run twice.
  bool complete = true;
  int64_t tokens = 0;
  int64_t padded_tokens = 0;     // tokens, and the padding that the model adds
  double predicted_seconds = 0;  // as predicted when the batch was made
  absl::Duration compute;        // without the time of the batches that ran at its seams
  double part_of_cores = 1;      // on which it ran, on average

  // Share of the computed tokens that were padding.
  double wasted_ratio() const {
    return padded_tokens == 0 ? 0 : 1.0 - static_cast<double>(tokens) / padded_tokens;
  }
  // 0 = exact; 1 = the prediction was twice the measured time.
  double prediction_error() const { return predicted_seconds / absl::ToDoubleSeconds(compute) - 1; }
};

class BatchObserver {
 public:
  virtual ~BatchObserver() = default;
  virtual void OnBatch(const BatchReport& report) {}
  // How long a piece waited; called for each one when its batch starts.
  virtual void OnQueueTime(Lane lane, absl::Duration waited) {}
  // A batch ran out of memory. `pieces` is how many of its pieces are run again in halves.
  virtual void OnOutOfMemorySplit(int32_t pieces) {}
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
  void OnOutOfMemorySplit(int32_t pieces) override {
    for (BatchObserver* observer : observers_) observer->OnOutOfMemorySplit(pieces);
  }

 private:
  const std::vector<BatchObserver*> observers_;
};

}  // namespace longspan
