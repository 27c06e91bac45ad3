#include "server/batching/task_timer.h"

#include <algorithm>

namespace longspan {

std::string_view StageName(Stage stage) {
  switch (stage) {
    case Stage::kReceive:
      return "receive";
    case Stage::kAwaitTokenizer:
      return "await_tokenizer";
    case Stage::kTokenize:
      return "tokenize";
    case Stage::kQueue:
      return "queue";
    case Stage::kCompute:
      return "compute";
    case Stage::kSend:
      return "send";
  }
  return "unknown";
}

void TaskTimer::BeginPreparation() {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  preparation_begin_ = clock_->Now();
  timings_.stage = Stage::kTokenize;
}

void TaskTimer::EndPreparation() {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (preparation_begin_ > absl::InfinitePast())
    timings_.tokenize = clock_->Now() - preparation_begin_;
  timings_.stage = Stage::kQueue;
}

void TaskTimer::BeginCompute(const BatchShape& batch) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  timings_.stage = Stage::kCompute;
  ++running_pieces_;
  NoteBatchLocked(batch, batch.start);
}

void TaskTimer::EndCompute(const BatchShape& batch) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  --running_pieces_;
  NoteBatchLocked(batch, clock_->Now());
}

// Two replicas may run batches of one task at the same time; each moment counts once.
void TaskTimer::NoteBatchLocked(const BatchShape& batch, absl::Time end) {
  const absl::Time begin = std::max(batch.start, counted_until_);
  if (end > begin) timings_.compute += end - begin;
  counted_until_ = std::max(counted_until_, end);
  timings_.batch_pieces = batch.pieces;
  timings_.batch_tokens = batch.tokens;
}

StageTimings TaskTimer::MeasureLocked(absl::Time now) const {
  StageTimings timings = timings_;
  if (timings.stage == Stage::kTokenize) timings.tokenize = now - preparation_begin_;
  if (running_pieces_ > 0) timings.compute += std::max(now - counted_until_, absl::ZeroDuration());
  timings.total = std::max(now - arrival_, absl::ZeroDuration());
  timings.queue =
      std::max(timings.total - timings.tokenize - timings.compute, absl::ZeroDuration());
  return timings;
}

StageTimings TaskTimer::End(bool answered) {
  absl::MutexLock lock(&mu_);
  if (ended_) return timings_;
  timings_ = MeasureLocked(clock_->Now());
  ended_ = true;
  const StageTimings ended = timings_;
  if (answered) timings_.stage = Stage::kSend;
  return ended;
}

StageTimings TaskTimer::Read() const {
  absl::MutexLock lock(&mu_);
  return ended_ ? timings_ : MeasureLocked(clock_->Now());
}

bool TaskTimer::ended() const {
  absl::MutexLock lock(&mu_);
  return ended_;
}

}  // namespace longspan
