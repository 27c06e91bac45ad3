#include "server/batching/online_cost_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace longspan {
namespace {

// f stays in [1/32, 32]. A machine that is further off than that is not what it was at warm-up, and
// one absurd measurement after the other must not take f to zero or infinity.
constexpr double kMaxFactor = 32;
// A batch counts at most as if it had been predicted this many times too high or too low, however
// far off it was: a process that was stopped for a second must not teach a factor of thousands.
constexpr double kMaxErrorOfOneBatch = 4;
// The first batches after warm-up correct it quickly, each by half of its error. Later ones move f
// by an eighth, so that it follows the load of some ten batches and not the last one.
constexpr int kQuickBatches = 4;
constexpr double kQuickGain = 1.0 / 2;
constexpr double kGain = 1.0 / 8;

}  // namespace

OnlineCostModel::OnlineCostModel(BatchCost calibrated, LaneOptions lanes)
    : calibrated_(std::move(calibrated)), lanes_(lanes) {}

double OnlineCostModel::factor(Lane lane) const {
  const int index = static_cast<int>(lane);
  return factors_[has_run_[index].load() ? index : kAll].value.load();
}

double OnlineCostModel::TextSeconds(const TextShape& text) const {
  return factor(LaneOf(text.length(), lanes_)) * calibrated_.text_seconds(text);
}

double OnlineCostModel::BatchSeconds(std::span<const TextShape> texts) const {
  if (texts.empty()) return 0;
  int64_t longest = 0;
  for (const TextShape& text : texts) longest = std::max(longest, text.length());
  return factor(LaneOf(longest, lanes_)) * calibrated_.batch_seconds(texts);
}

BatchCost OnlineCostModel::Corrected() const {
  return {
      .text_seconds = [this](const TextShape& text) { return TextSeconds(text); },
      .batch_seconds = [this](std::span<const TextShape> texts) { return BatchSeconds(texts); }};
}

void OnlineCostModel::OnBatch(const BatchReport& report) {
  const double calibrated = report.texts.empty() ? 0 : calibrated_.batch_seconds(report.texts);
  // The calibration is that of a pass with all cores.
  const double measured = absl::ToDoubleSeconds(report.compute) * report.part_of_cores;
  if (!(calibrated > 0 && measured > 0)) return;
  const int lane = static_cast<int>(report.lane);
  absl::MutexLock lock(&mu_);
  const double log_error = std::log(measured / (factor(report.lane) * calibrated));
  if (!report.complete && log_error <= 0) return;  // a lower bound of the time: may only raise f
  if (!has_run_[lane].load()) factors_[lane].value = factors_[kAll].value.load();
  Learn(&factors_[kAll], std::log(measured / (factors_[kAll].value * calibrated)));
  Learn(&factors_[lane], log_error);
  has_run_[lane] = true;
}

void OnlineCostModel::Learn(Factor* factor, double log_error) {
  const double gain = factor->batches++ < kQuickBatches ? kQuickGain : kGain;
  const double bound = std::log(kMaxErrorOfOneBatch);
  const double moved = std::log(factor->value.load()) + gain * std::clamp(log_error, -bound, bound);
  factor->value = std::clamp(std::exp(moved), 1 / kMaxFactor, kMaxFactor);
}

}  // namespace longspan
