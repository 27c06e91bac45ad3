#include "server/batching/batch_scheduler.h"

#include <algorithm>
#include <utility>

#include "server/batching/shutting_down.h"

namespace longspan {
namespace {

// The predicted seconds of a batch are bounded by what --max-batch-tokens tokens cost as texts of
// this length. 512 is the usual longest text of dense encoders, and so the length for which people
// know what a batch costs; longer texts cost more per token.
constexpr int64_t kReferenceLength = 512;

// At the seams of a pass, texts of its own lane take at most this part of its predicted seconds
// each, and together at most as much as the pass itself: who is interrupted waits at most twice as
// long, and who interrupts would have waited at least eight times as long as its text takes. Calls
// of the same client come in where they are smaller than this part of those that the pass serves.
constexpr double kLargestAtSeam = 1.0 / 8;

void CompleteAbandoned(const std::vector<QueuedPiece>& pieces) {
  for (const QueuedPiece& piece : pieces) piece.task->Complete(piece.task->Abandoned());
}

// A wait for a change of a counter. The counter must change only under the mutex of the wait.
struct CounterWait {
  const int64_t* counter;
  int64_t seen;
  static bool Changed(CounterWait* wait) { return *wait->counter != wait->seen; }
};

}  // namespace

BatchScheduler::BatchScheduler(const BatchSchedulerOptions& options, BatchCost cost,
                               const Clock* clock)
    : options_(options),
      cost_(std::move(cost)),
      clock_(clock),
      lanes_(options_.lanes,
             [](const QueuedPiece& piece) { return !piece.task->Abandoned().ok(); }),
      cores_(options_.cores) {}

BatchScheduler::~BatchScheduler() { Shutdown(); }

// Computed for each batch anew, because the cost model is calibrated after the scheduler was made.
double BatchScheduler::MaxBatchSeconds() const {
  if (options_.max_batch_seconds > 0) return options_.max_batch_seconds;
  return SecondsOf(options_.max_batch_tokens);
}

double BatchScheduler::SecondsOf(int64_t tokens) const {
  return static_cast<double>(tokens) / kReferenceLength * cost_.text_seconds(kReferenceLength);
}

QueuedPiece BatchScheduler::MakePiece(const std::shared_ptr<EncodeTask>& task, int32_t index,
                                      absl::Time now) const {
  QueuedPiece piece{.task = task, .piece = index, .queued = now};
  piece.shape = ShapeOf(task->prepared().pieces[index], task->prepared().lsh);
  piece.tokens = piece.shape.tokens;
  const int64_t multiple = std::max<int64_t>(1, options_.length_multiple);
  piece.padded_tokens = (piece.tokens + multiple - 1) / multiple * multiple;
  piece.seconds = cost_.text_seconds(piece.shape);
  return piece;
}

void BatchScheduler::Submit(const std::shared_ptr<EncodeTask>& task) {
  const auto num_pieces = static_cast<int32_t>(task->prepared().pieces.size());
  if (num_pieces == 0) {  // nothing was asked for that needs the model
    task->Complete(JoinPieces(task->prepared(), {}));
    return;
  }
  const absl::Time now = clock_->Now();
  std::vector<QueuedPiece> pieces;
  pieces.reserve(num_pieces);
  double seconds = 0;
  for (int32_t i = 0; i < num_pieces; ++i) {
    pieces.push_back(MakePiece(task, i, now));
    seconds += pieces.back().seconds;
  }
  for (QueuedPiece& piece : pieces) piece.call_seconds = task->CallSeconds(seconds);
  {
    absl::MutexLock lock(&mu_);
    if (!draining_ && !stopped_) {
      for (QueuedPiece& piece : pieces) {
        const Lane lane = LaneOf(piece.shape.length(), options_.lanes);
        lanes_.Push(lane, std::move(piece), task->client());
      }
      earliest_deadline_ = std::min(earliest_deadline_, task->deadline());
      ++changes_;
      return;
    }
  }
  task->Complete(ShuttingDown());
}

bool BatchScheduler::IsRipeLocked(Lane lane, absl::Time now) const {
  const LaneQueue& queue = lanes_[lane];
  if (queue.empty()) return false;
  if (draining_ || options_.batch_timeout <= absl::ZeroDuration()) return true;
  return queue.tokens() >= options_.max_batch_tokens || queue.seconds() >= MaxBatchSeconds() ||
         now >= queue.oldest() + options_.batch_timeout;
}

absl::Time BatchScheduler::NextRipeTimeLocked() const {
  absl::Time next = absl::InfiniteFuture();
  for (int lane = 0; lane < kNumLanes; ++lane)
    next = std::min(next, lanes_[static_cast<Lane>(lane)].oldest());
  return next + options_.batch_timeout;
}

bool BatchScheduler::TakesAllCores(const QueuedPiece& piece) const {
  return static_cast<double>(piece.padded_tokens) > static_cast<double>(options_.max_batch_tokens) *
                                                        options_.cores.Part(options_.cores.threads);
}

bool BatchScheduler::LacksCoresLocked(Lane lane) const {
  return !(TakesAllCores(lanes_[lane].Next()) ? cores_.AllFree() : cores_.CanBegin());
}

int64_t BatchScheduler::WaitingPiecesLocked() const {
  int64_t pieces = 0;
  for (int lane = 0; lane < kNumLanes; ++lane) pieces += lanes_[static_cast<Lane>(lane)].pieces();
  return pieces;
}

// A lane whose turn it is waits for its cores, and the other lanes wait with it: else short passes
// that follow each other closely would keep a long text from ever beginning.
std::optional<Lane> BatchScheduler::AwaitLaneLocked() {
  ++idle_workers_;
  std::optional<Lane> lane;
  while (!stopped_) {
    const absl::Time now = clock_->Now();
    lane = lanes_.NextLane(now, [&](Lane candidate) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return IsRipeLocked(candidate, now);
    });
    const bool lacks_cores = lane.has_value() && LacksCoresLocked(*lane);
    // While draining every lane with work is ripe: where none is, the queue is empty.
    if (!lacks_cores && (lane.has_value() || draining_)) break;
    CounterWait wait{&changes_, changes_};
    clock_->AwaitUntil(mu_, absl::Condition(&CounterWait::Changed, &wait),
                       lacks_cores ? absl::InfiniteFuture() : NextRipeTimeLocked());
  }
  --idle_workers_;
  return stopped_ ? std::nullopt : lane;
}

std::optional<PackedBatch> BatchScheduler::NextBatch() {
  while (true) {
    std::vector<QueuedPiece> abandoned;
    std::optional<PackedBatch> batch;
    {
      absl::MutexLock lock(&mu_);
      const std::optional<Lane> lane = AwaitLaneLocked();
      if (lane.has_value()) batch = TakeBatchLocked(*lane, /*own_pass=*/true, &abandoned);
    }
    CompleteAbandoned(abandoned);
    if (!batch.has_value()) return std::nullopt;
    if (!batch->pieces.empty()) return Predict(*std::move(batch));
  }
}

std::optional<PackedBatch> BatchScheduler::TryNextBatchBefore(Lane running, SeamShare* others) {
  std::vector<QueuedPiece> abandoned;
  PackedBatch batch;
  {
    absl::MutexLock lock(&mu_);
    if (stopped_) return std::nullopt;
    const std::optional<Lane> shorter = lanes_.NextLaneBefore(clock_->Now(), running);
    if (shorter.has_value()) batch = TakeBatchLocked(*shorter, /*own_pass=*/false, &abandoned);
    for (int index = 0; index <= static_cast<int>(running) && batch.pieces.empty(); ++index) {
      const auto lane = static_cast<Lane>(index);
      batch = TakeAtSeamLocked(lane,
                               lane == running ? others->virtual_time : lanes_[lane].HighestTime(),
                               others, &abandoned);
    }
  }
  CompleteAbandoned(abandoned);
  if (batch.pieces.empty()) return std::nullopt;
  return Predict(std::move(batch));
}

int BatchScheduler::ThreadsAtSeam(int threads) {
  absl::MutexLock lock(&mu_);
  return cores_.AtSeam(threads, WaitingPiecesLocked() > 0, clock_->Now());
}

void BatchScheduler::EndPass(int threads) {
  absl::MutexLock lock(&mu_);
  cores_.End(threads, clock_->Now());
  ++changes_;
}

PackedBatch BatchScheduler::TakeBatchLocked(Lane lane, bool own_pass,
                                            std::vector<QueuedPiece>* abandoned) {
  PackedBatch batch;
  batch.lane = lane;
  // The first piece is taken whatever its size: above the budget it runs alone.
  while (batch.pieces.empty() && !lanes_[lane].empty()) {
    QueuedPiece piece = lanes_.Take(lane);
    (piece.abandoned ? abandoned : &batch.pieces)->push_back(std::move(piece));
  }
  if (batch.pieces.empty()) return batch;
  const bool takes_all = own_pass && TakesAllCores(batch.pieces.front());
  const int own = own_pass ? 1 : 0;
  // Other workers that could begin a pass beside this one.
  const int idle = takes_all ? 0 : cores_.CouldBegin(own + idle_workers_) - own;
  if (own_pass) {
    batch.threads =
        takes_all ? cores_.BeginWithAll() : cores_.Begin(1 + WaitingPiecesLocked(), idle);
  }
  FillBatchLocked(&batch, idle, abandoned);
  for (const QueuedPiece& piece : batch.pieces) batch.tokens += piece.tokens;
  batch.others = ShareAtSeamsLocked(batch);
  return batch;
}

int64_t BatchScheduler::SharedTokens(const PackedBatch& batch) const {
  const bool has_more_than_half = batch.threads == 0 || options_.cores.Part(batch.threads) > 0.5;
  return has_more_than_half ? options_.shared_tokens : options_.shared_tokens / 2;
}

SeamShare BatchScheduler::ShareAtSeamsLocked(const PackedBatch& batch) const {
  SeamShare others;
  if (batch.padded_tokens <= SharedTokens(batch)) return others;
  double seconds = 0, call_seconds = 0;
  for (const QueuedPiece& piece : batch.pieces) {
    seconds += piece.seconds;
    call_seconds += piece.call_seconds;
    others.virtual_time =
        std::max(others.virtual_time, lanes_[batch.lane].TimeOf(piece.task->client()));
  }
  others.call_seconds = call_seconds / static_cast<double>(batch.pieces.size()) * kLargestAtSeam;
  others.largest_text = seconds * kLargestAtSeam;
  others.seconds_left = seconds;
  return others;
}

PackedBatch BatchScheduler::TakeAtSeamLocked(Lane lane, double virtual_time, SeamShare* others,
                                             std::vector<QueuedPiece>* abandoned) {
  PackedBatch batch;
  batch.lane = lane;
  double seconds = 0;
  const double max_seconds = SecondsOf(options_.shared_tokens);
  // Called with mu_ held.
  const auto fits = [&](const QueuedPiece& piece) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (piece.seconds > std::min(others->largest_text, others->seconds_left)) return false;
    if (piece.call_seconds >= others->call_seconds &&
        lanes_[lane].TimeOf(piece.task->client()) >= virtual_time) {
      return false;
    }
    if (batch.pieces.empty()) return piece.padded_tokens <= options_.max_batch_tokens;
    const bool same_length = piece.padded_tokens == batch.pieces.front().padded_tokens;
    return (same_length || options_.length_multiple <= 1) &&
           seconds + piece.seconds <= max_seconds &&
           batch.padded_tokens + piece.padded_tokens <= options_.shared_tokens;
  };
  while (std::optional<QueuedPiece> piece = lanes_.TakeFitting(lane, fits)) {
    if (piece->abandoned) {
      abandoned->push_back(*std::move(piece));
      continue;
    }
    seconds += piece->seconds;
    others->seconds_left -= piece->seconds;
    batch.tokens += piece->tokens;
    batch.padded_tokens += piece->padded_tokens;
    batch.pieces.push_back(*std::move(piece));
  }
  return batch;
}

void BatchScheduler::FillBatchLocked(PackedBatch* batch, int idle,
                                     std::vector<QueuedPiece>* abandoned) {
  const LaneQueue& queue = lanes_[batch->lane];
  const QueuedPiece first = batch->pieces.front();
  const std::string& client = first.task->client();
  const bool one_length = options_.length_multiple > 1;
  // Passes that run at once share the budget of one with all cores.
  const double part = batch->threads > 0 ? options_.cores.Part(batch->threads) : 1;
  double max_seconds = part * MaxBatchSeconds();
  double max_tokens = part * static_cast<double>(options_.max_batch_tokens);
  const int64_t shared_tokens = SharedTokens(*batch);
  double seconds = first.seconds;
  batch->padded_tokens = first.padded_tokens;
  // Workers that are idle get their part of the lane, so that none sleeps beside one with a long
  // batch.
  const double share = (first.seconds + queue.seconds()) / (1 + idle);
  while (!queue.empty() && seconds < share) {
    if (queue.OthersWait(client)) {
      max_seconds = std::min(max_seconds, SecondsOf(shared_tokens));
      max_tokens = std::min(max_tokens, static_cast<double>(shared_tokens));
    }
    // Where a batch holds one padded length, every piece of it counts like the first.
    const QueuedPiece& next = one_length ? first : queue.Next();
    if (first.call_seconds < kLargestAtSeam * queue.Next().call_seconds)
      max_tokens = std::min(max_tokens, static_cast<double>(shared_tokens) / 4);
    if (static_cast<double>(batch->padded_tokens + next.padded_tokens) > max_tokens) return;
    if (seconds + next.seconds > max_seconds) return;
    std::optional<QueuedPiece> piece = one_length
                                           ? lanes_.TakePadded(batch->lane, first.padded_tokens)
                                           : lanes_.TakeMore(batch->lane);
    if (!piece.has_value()) return;
    if (piece->abandoned) {
      abandoned->push_back(*std::move(piece));
      continue;
    }
    seconds += piece->seconds;
    batch->padded_tokens += piece->padded_tokens;
    batch->pieces.push_back(*std::move(piece));
  }
}

PackedBatch BatchScheduler::Predict(PackedBatch batch) const {
  std::vector<TextShape> texts;
  texts.reserve(batch.pieces.size());
  for (const QueuedPiece& piece : batch.pieces) texts.push_back(piece.shape);
  batch.predicted_seconds = cost_.batch_seconds(texts);
  if (batch.threads > 0) batch.predicted_seconds /= options_.cores.Part(batch.threads);
  return batch;
}

void BatchScheduler::NotifyCancelled() {
  absl::MutexLock lock(&mu_);
  cancelled_ = true;
}

bool BatchScheduler::Reap() {
  std::vector<QueuedPiece> abandoned;
  {
    absl::MutexLock lock(&mu_);
    struct Wait {
      const bool* stopped;
      const bool* cancelled;
      const absl::Time* earliest;
      absl::Time armed;  // the deadline that is waited for; an earlier one ends the wait
    } wait{&stopped_, &cancelled_, &earliest_deadline_, earliest_deadline_};
    const auto woken = [](Wait* w) {
      return *w->stopped || *w->cancelled || *w->earliest < w->armed;
    };
    clock_->AwaitUntil(mu_, absl::Condition(+woken, &wait), wait.armed);
    if (stopped_) return false;
    if (cancelled_ || clock_->Now() >= earliest_deadline_) SweepLocked(&abandoned);
  }
  CompleteAbandoned(abandoned);
  return true;
}

void BatchScheduler::SweepLocked(std::vector<QueuedPiece>* abandoned) {
  cancelled_ = false;
  earliest_deadline_ = absl::InfiniteFuture();
  absl::Time earliest = absl::InfiniteFuture();
  lanes_.RemoveIf(
      [&](const QueuedPiece& piece) {
        if (!piece.task->Abandoned().ok()) return true;
        earliest = std::min(earliest, piece.task->deadline());
        return false;
      },
      abandoned);
  earliest_deadline_ = earliest;
  ++changes_;
}

void BatchScheduler::Drain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  ++changes_;
}

void BatchScheduler::Shutdown() {
  std::vector<QueuedPiece> rest;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    ++changes_;
    lanes_.RemoveIf([](const QueuedPiece&) { return true; }, &rest);
  }
  for (const QueuedPiece& piece : rest) piece.task->Complete(ShuttingDown());
}

BatchScheduler::Passes BatchScheduler::passes() const {
  absl::MutexLock lock(&mu_);
  return {.running = cores_.running(), .begun = cores_.begun()};
}

BatchScheduler::Depth BatchScheduler::depth() const {
  absl::MutexLock lock(&mu_);
  Depth depth;
  absl::Time oldest = absl::InfiniteFuture();
  for (int index = 0; index < kNumLanes; ++index) {
    const LaneQueue& queue = lanes_[static_cast<Lane>(index)];
    depth.pieces += queue.pieces();
    depth.tokens += queue.tokens();
    depth.predicted_seconds += queue.seconds();
    depth.lane_pieces[index] = queue.pieces();
    oldest = std::min(oldest, queue.oldest());
  }
  depth.computing_threads = cores_.busy();
  if (depth.pieces > 0) depth.oldest = clock_->Now() - oldest;
  return depth;
}

}  // namespace longspan
