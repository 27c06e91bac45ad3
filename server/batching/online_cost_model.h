// OnlineCostModel: the calibrated cost model, corrected by every batch that ends. The calibration
// at warm-up sees the load of one moment. Calibrated while the machine is busy, all predictions
// stay several times too high, and admission refuses deadlines that the idle machine keeps easily;
// calibrated in a quiet moment, it lets in what can only expire.
//
// Each lane has a factor f on the calibrated seconds. A batch moves it, in the logarithm, by a part
// of its error:
//
//   log f += gain * clamp(log(measured / (f * calibrated)), -log 4, log 4)
//   gain 1/2 for the first 4 batches, then 1/8
//
// One odd batch among many moves f by at most 4^(1/8) = 1.19. f stays in [1/32, 32], so that absurd
// measurements cannot take it to zero or infinity. A lane that has not run yet borrows the factor
// that all batches together taught. Example: a warm-up that was 8 times too slow. The first four
// batches take the error from 8 to 4, 2, 1.4 and 1.2.
//
// A pass that dropped or failed texts ran shorter than a full one, so its time is a lower bound: it
// may raise f, never lower it. If it were ignored, passes that all expire would never teach that
// the predictions are too low.
//
// Proven by online_cost_model_test.
//
// Thread safety: all methods may be called from any thread; predictions take no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/batch_cost.h"
#include "server/batching/batch_observer.h"
#include "server/batching/lanes.h"

namespace longspan {

class OnlineCostModel final : public BatchObserver {
 public:
  OnlineCostModel(BatchCost calibrated, LaneOptions lanes);

  double TextSeconds(const TextShape& text) const;
  double BatchSeconds(std::span<const TextShape> texts) const;
  // TextSeconds and BatchSeconds as the functions that scheduler and admission take. They refer to
  // this object, which must outlive them.
  BatchCost Corrected() const;

  // Learns from the batch.
  void OnBatch(const BatchReport& report) override;

  double factor(Lane lane) const;  // f in force

 private:
  static constexpr int kAll = kNumLanes;  // index of the factor taught by all batches
  struct Factor {
    std::atomic<double> value = 1;
    int64_t batches = 0;  // that taught it; guarded by mu_
  };
  void Learn(Factor* factor, double log_error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Constant after construction.
  const BatchCost calibrated_;
  const LaneOptions lanes_;

  absl::Mutex mu_;  // held by whoever writes; factors are read without it
  std::array<Factor, kNumLanes + 1> factors_;
  std::array<std::atomic<bool>, kNumLanes> has_run_ = {};
};

}  // namespace longspan
