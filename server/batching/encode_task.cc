#include "server/batching/encode_task.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/batching/answer_room.h"

namespace longspan {
namespace {

std::string InMilliseconds(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
}

}  // namespace

absl::Status DeadlinePassed(std::string_view when, double predicted_seconds) {
  const absl::string_view after(when.data(), when.size());
  if (predicted_seconds <= 0)
    return absl::DeadlineExceededError(absl::StrCat("the deadline passed", after));
  return absl::DeadlineExceededError(
      absl::StrCat("the deadline passed", after, "; computing was predicted to take ",
                   InMilliseconds(absl::Seconds(predicted_seconds))));
}

AdmissionClaim ClaimFor(const EncodeInput& input, int64_t max_tokens) {
  AdmissionClaim claim;
  if (input.max_tokens > 0) max_tokens = input.max_tokens;
  claim.bytes = static_cast<int64_t>(input.text.empty() ? input.token_ids.size() * sizeof(int32_t)
                                                        : input.prompt.size() + input.text.size());
  claim.span_bytes =
      static_cast<int64_t>((input.spans.size() + input.global_spans.size()) * sizeof(TextRange) +
                           input.global_positions.size() * sizeof(int32_t));
  claim.tokens = static_cast<int64_t>(input.token_ids.size());
  if (!input.independent_spans)
    claim.vectors = std::max<int64_t>(1, static_cast<int64_t>(input.spans.size()));
  claim.hashes = input.lsh.num_hashes;
  // A text that is too long and may not be cut is refused after the tokenizer; until then it counts
  // no more tokens than the bound either.
  (input.truncation == Truncation::kWindows ? claim.piece_tokens : claim.max_tokens) = max_tokens;
  if (NeedsNoPass(input)) claim.max_tokens = 1;  // its bytes are all that it costs
  return claim;
}

EncodeTask::EncodeTask(Params params, const Clock* clock)
    : clock_(clock),
      input_(std::move(params.input)),
      arrival_(params.arrival),
      deadline_(params.deadline),
      cancel_(std::move(params.cancel)),
      client_(std::move(params.client)),
      call_size_(params.call_size.value_or(params.permit.size())),
      estimated_seconds_(params.permit.size().seconds),
      predicted_seconds_(estimated_seconds_),
      check_answer_(std::move(params.check_answer)),
      token_vectors_(std::move(params.token_vectors)),
      answer_(std::move(params.answer)),
      timer_(params.timer != nullptr ? std::move(params.timer)
                                     : std::make_shared<TaskTimer>(clock, arrival_)),
      permit_(std::move(params.permit)),
      done_(std::move(params.done)) {}

EncodeTask::~EncodeTask() {
  Complete(absl::InternalError("the text was dropped inside the server; this is a bug"));
}

double EncodeTask::CallSeconds(double task_seconds) const {
  if (estimated_seconds_ <= 0) return std::max(task_seconds, call_size_.seconds);
  return task_seconds * std::max(1.0, call_size_.seconds / estimated_seconds_);
}

absl::Status EncodeTask::Abandoned() const {
  if (completed_.load(std::memory_order_acquire)) return absl::AbortedError("already answered");
  if (cancel_ != nullptr && cancel_->cancelled())
    return absl::CancelledError("the caller cancelled the request");
  if (clock_->Now() < deadline_) return absl::OkStatus();
  return DeadlinePassed(absl::StrCat(" after ", InMilliseconds(deadline_ - arrival_)),
                        predicted_seconds_);
}

bool EncodeTask::Complete(absl::StatusOr<EncodedDocument> result) {
  if (completed_.exchange(true, std::memory_order_acq_rel)) return false;
  const StageTimings timings = timer_->End(result.ok());
  permit_.Release();
  // Moved out, so that it is freed with all that it holds before this call ends: the state of a
  // call of the service must not live as long as the queue's entries of its pieces.
  Done done = std::move(done_);
  if (done) done(std::move(result), timings);
  return true;
}

void EncodeTask::BeginPreparation() { timer_->BeginPreparation(); }

void EncodeTask::SetPrepared(PreparedText prepared) {
  prepared_ = std::move(prepared);
  predicted_seconds_ = permit_.size().seconds;
  timer_->EndPreparation();
  absl::MutexLock lock(&mu_);
  encoded_.resize(prepared_.pieces.size());
  pieces_missing_ = prepared_.pieces.size();
}

void EncodeTask::BeginCompute(const BatchShape& batch) { timer_->BeginCompute(batch); }

void EncodeTask::CompletePiece(int32_t piece, absl::StatusOr<EncodedText> result,
                               const BatchShape& batch) {
  const absl::Status status = result.status();
  std::vector<EncodedText> encoded;
  timer_->EndCompute(batch);
  {
    absl::MutexLock lock(&mu_);
    if (status.ok()) {
      encoded_[piece] = *std::move(result);
      if (--pieces_missing_ > 0) return;
      encoded.swap(encoded_);
    }
  }
  if (!status.ok()) {
    Complete(status);
  } else {
    Complete(JoinPieces(prepared_, std::move(encoded)));
  }
}

}  // namespace longspan
