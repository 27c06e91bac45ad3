#include "server/engine/encoder_worker.h"

#include <exception>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "core/error_details.h"
#include "server/engine/thread_cpu_time.h"

namespace longspan {
namespace {

std::vector<absl::StatusOr<EncodedText>> FailAll(size_t pieces, const absl::Status& status) {
  std::vector<absl::StatusOr<EncodedText>> results;
  results.reserve(pieces);
  for (size_t i = 0; i < pieces; ++i) results.emplace_back(status);
  return results;
}

// A thread that has used so much CPU time since somebody last saw it work is at work. A second of
// computing has fifty times as much, and a thread that waits has none.
constexpr absl::Duration kCpuOfAWorker = absl::Milliseconds(20);

absl::Status DeviceLost(absl::string_view how) {
  return absl::InternalError(absl::StrCat("the computing device is lost: ", how));
}

// Of the texts that this worker has taken since; nothing of them was computed.
absl::Status DeviceGone() {
  return WithRetryAfter(absl::UnavailableError("the computing device is lost; try another replica"),
                        absl::Seconds(1));
}

// `never`: nothing else has held memory meanwhile, so that the text will not fit later either. A
// code that clients do not retry says so. `bytes`: what it takes; 0 = not known.
absl::Status TooLargeAlone(const QueuedPiece& piece, bool never, int64_t bytes,
                           const absl::Status& cause) {
  const std::string takes =
      bytes == 0 ? "" : absl::StrCat(" takes about ", (bytes >> 20) + 1, " MiB and");
  const std::string message = absl::StrCat(
      piece.task->input().field, " with ", piece.tokens, " tokens", takes,
      " does not fit in memory even alone",
      never ? " on this server: " : " beside what others compute now: ", cause.message());
  if (never) return WithReason(absl::FailedPreconditionError(message), kReasonMemory);
  return WithReason(WithRetryAfter(absl::ResourceExhaustedError(message), absl::Seconds(1)),
                    kReasonMemory);
}

}  // namespace

struct EncoderWorker::Pass {
  Lane lane;
  SeamShare others;  // what is left of it
  EncodeTask::BatchShape shape;
  bool complete = true;           // no text was dropped or failed, nothing was run again
  bool begun = false;             // the running call of the encoder has reached its first seam
  absl::Duration between_layers;  // spent on other batches
  // The time that all cores together would have taken, up to `counted_until`.
  absl::Duration core_time;
  absl::Time counted_until;

  // Counts the time until `now`, in which the pass ran on this part of the cores.
  void Count(absl::Time now, double part_of_cores) {
    core_time += (now - counted_until) * part_of_cores;
    counted_until = now;
  }
};

EncoderWorker::EncoderWorker(EncodeFunction encode, BatchScheduler* scheduler,
                             BatchObserver* observer, const Clock* clock, WorkerOptions options)
    : encode_(std::move(encode)),
      scheduler_(scheduler),
      observer_(observer),
      clock_(clock),
      options_(std::move(options)),
      cpu_time_(options_.cpu_time) {
  EndHeartbeat(clock_->Now(), nullptr);
  absl::Notification started;
  thread_ = std::thread([this, &started] {
    if (!options_.cpu_time) cpu_time_ = CpuTimeOfThisThread();
    started.Notify();
    Run();
  });
  started.WaitForNotification();
}

EncoderWorker::~EncoderWorker() { thread_.join(); }

EncoderWorker::Heartbeat EncoderWorker::heartbeat() const {
  absl::MutexLock lock(&mu_);
  return heartbeat_;
}

EncoderWorker::Heartbeat EncoderWorker::Look() {
  const absl::Duration used = cpu_time_();
  absl::MutexLock lock(&mu_);
  if (used - cpu_seen_ >= kCpuOfAWorker) {
    cpu_seen_ = used;
    heartbeat_.last_used_cpu = clock_->Now();
  }
  return heartbeat_;
}

void EncoderWorker::Run() {
  while (std::optional<PackedBatch> batch = scheduler_->NextBatch()) {
    threads_ = batch->threads;
    RunBatch(*batch);
    scheduler_->EndPass(threads_);
  }
}

void EncoderWorker::RunBatch(const PackedBatch& batch) {
  const absl::Time start = clock_->Now();
  Pass pass{.lane = batch.lane,
            .others = batch.others,
            .shape = {start, static_cast<int32_t>(batch.pieces.size()), batch.tokens},
            .counted_until = start};
  ++depth_;
  BeginHeartbeat(start, batch);
  std::vector<TextShape> texts;
  texts.reserve(batch.pieces.size());
  for (const QueuedPiece& piece : batch.pieces) {
    texts.push_back(piece.shape);
    piece.task->BeginCompute(pass.shape);
    if (observer_ != nullptr) observer_->OnQueueTime(batch.lane, start - piece.queued);
  }
  EncodePieces(pass, batch.pieces);
  const absl::Time end = clock_->Now();
  pass.Count(end, scheduler_->PartOfCores(threads_));
  absl::Duration compute = end - start - pass.between_layers;
  if (options_.device != nullptr) compute = pass.core_time = options_.device->Computed(start, end);
  --depth_;
  EndHeartbeat(end, &batch);
  if (observer_ == nullptr) return;
  observer_->OnBatch({.lane = batch.lane,
                      .pieces = pass.shape.pieces,
                      .texts = texts,
                      .complete = pass.complete,
                      .tokens = batch.tokens,
                      .padded_tokens = batch.padded_tokens,
                      .predicted_seconds = batch.predicted_seconds,
                      .compute = compute,
                      .part_of_cores = compute > absl::ZeroDuration()
                                           ? absl::FDivDuration(pass.core_time, compute)
                                           : 1});
}

void EncoderWorker::EncodePieces(Pass& pass, std::span<const QueuedPiece> pieces) {
  pass.begun = false;
  const BatchScheduler::Passes before = scheduler_->passes();
  std::vector<absl::StatusOr<EncodedText>> results = CallEncode(pass, pieces);
  const bool nothing_else = !options_.shares_memory && depth_ == 1 && before.running == 1 &&
                            scheduler_->passes() == before;
  if (results.size() != pieces.size()) {
    results = FailAll(pieces.size(),
                      absl::InternalError(absl::StrCat("the encoder gave ", results.size(),
                                                       " results for ", pieces.size(), " texts")));
  }
  std::vector<QueuedPiece> again;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const QueuedPiece& piece = pieces[i];
    const bool out_of_memory = absl::IsResourceExhausted(results[i].status());
    pass.complete = pass.complete && results[i].ok();
    if (results[i].status().code() == kDeviceLost) results[i] = LoseDevice(results[i].status());
    if (absl::IsCancelled(results[i].status())) {
      // A text that was dropped after the last seam has no answer yet. The task knows the reason.
      absl::Status reason = piece.task->Abandoned();
      if (!reason.ok()) results[i] = std::move(reason);
    }
    if (out_of_memory && pieces.size() > 1) {
      again.push_back(piece);
    } else {
      piece.task->CompletePiece(
          piece.piece,
          out_of_memory ? TooLargeAlone(piece, nothing_else, BytesOf(piece), results[i].status())
                        : std::move(results[i]),
          pass.shape);
      BeatHeartbeat(clock_->Now());  // the last piece of a text joins all, and makes the answer
    }
  }
  if (again.empty()) return;
  if (observer_ != nullptr) observer_->OnOutOfMemorySplit(static_cast<int32_t>(again.size()));
  const std::span<const QueuedPiece> rest(again);
  const size_t half = (rest.size() + 1) / 2;
  EncodePieces(pass, rest.first(half));
  if (half < rest.size()) EncodePieces(pass, rest.subspan(half));
}

int64_t EncoderWorker::BytesOf(const QueuedPiece& piece) const {
  return options_.piece_bytes ? options_.piece_bytes(piece.shape) : 0;
}

absl::Status EncoderWorker::LoseDevice(const absl::Status& cause) {
  if (options_.device != nullptr) options_.device->Lose();
  absl::MutexLock lock(&mu_);
  heartbeat_.device_lost = true;
  heartbeat_.device_error = std::string(cause.message());
  return DeviceLost(cause.message());
}

void EncoderWorker::FailRunning(const absl::Status& status) {
  std::vector<std::shared_ptr<EncodeTask>> tasks;
  {
    absl::MutexLock lock(&mu_);
    for (const PackedBatch* batch : running_) {
      for (const QueuedPiece& piece : batch->pieces) tasks.push_back(piece.task);
    }
  }
  for (const std::shared_ptr<EncodeTask>& task : tasks) task->Complete(status);
}

std::vector<absl::StatusOr<EncodedText>> EncoderWorker::CallEncode(
    Pass& pass, std::span<const QueuedPiece> pieces) {
  const bool lost = options_.device != nullptr ? options_.device->lost() : heartbeat().device_lost;
  if (lost) return FailAll(pieces.size(), DeviceGone());
  try {
    TokenBatch batch;
    std::vector<EncodeOptions> options;
    options.reserve(pieces.size());
    for (const QueuedPiece& queued : pieces) {
      const TextPiece& piece = queued.task->prepared().pieces[queued.piece];
      batch.Add({.token_ids = piece.token_ids,
                 .global_positions = piece.global_positions,
                 .attention_mask = piece.attention_mask,
                 .lsh = queued.task->prepared().lsh,
                 .token_types = piece.token_types});
      options.push_back(piece.options);
    }
    const EncodeControl control{
        .at_seam = [&] { AtSeam(pass, pieces); },
        .is_dropped = [&](int32_t text) { return !pieces[text].task->Abandoned().ok(); },
        .threads = [this] { return threads_; }};
    return encode_(batch, options, control);
  } catch (const std::bad_alloc&) {
    return FailAll(pieces.size(), absl::ResourceExhaustedError("out of memory"));
  } catch (const std::exception& error) {
    return FailAll(pieces.size(),
                   absl::InternalError(absl::StrCat("the encoder threw: ", error.what())));
  } catch (...) {
    return FailAll(pieces.size(), absl::InternalError("the encoder threw something unknown"));
  }
}

// The first seam of a call lies before its first layer. The scheduler has only just chosen this
// batch, so nothing is let ahead of it there.
void EncoderWorker::AtSeam(Pass& pass, std::span<const QueuedPiece> pieces) {
  if (pass.begun) {
    const absl::Time now = clock_->Now();
    BeatHeartbeat(now);
    pass.Count(now, scheduler_->PartOfCores(threads_));
    if (options_.preempt) LetShortTextsRun(pass, now);
    threads_ = scheduler_->ThreadsAtSeam(threads_);
  }
  pass.begun = true;
  for (const QueuedPiece& piece : pieces) {
    absl::Status status = piece.task->Abandoned();
    if (status.ok()) continue;
    pass.complete = false;
    piece.task->Complete(std::move(status));
  }
}

void EncoderWorker::BeatHeartbeat(absl::Time now) {
  absl::MutexLock lock(&mu_);
  heartbeat_.last_sign = now;
}

void EncoderWorker::LetShortTextsRun(Pass& pass, absl::Time now) {
  while (std::optional<PackedBatch> batch = scheduler_->TryNextBatchBefore(pass.lane, &pass.others))
    RunBatch(*batch);
  pass.counted_until = clock_->Now();
  pass.between_layers += pass.counted_until - now;
}

void EncoderWorker::BeginHeartbeat(absl::Time now, const PackedBatch& batch) {
  absl::MutexLock lock(&mu_);
  running_.push_back(&batch);
  heartbeat_.last_sign = now;
  if (depth_ == 1) {
    heartbeat_.busy = true;
    heartbeat_.since = now;
    heartbeat_.predicted_seconds = 0;
  }
  heartbeat_.predicted_seconds += batch.predicted_seconds;
}

void EncoderWorker::EndHeartbeat(absl::Time now, const PackedBatch* batch) {
  absl::MutexLock lock(&mu_);
  std::erase(running_, batch);
  heartbeat_.last_sign = now;
  if (depth_ > 0) return;  // the batch ran between the layers of one that goes on
  heartbeat_.busy = false;
  heartbeat_.since = now;
  heartbeat_.predicted_seconds = 0;
}

}  // namespace longspan
