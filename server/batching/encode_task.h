// EncodeTask: one input on its way through the engine: tokenizer thread, queue, worker. Owns the
// input, then its prepared form, the admission permit and the callback `done`, which runs exactly
// once on every path: with an answer, with an error, or with INTERNAL from the destructor of a task
// that nobody completed. The permit is given back just before `done` runs.
//
//   auto task = std::make_shared<EncodeTask>(EncodeTask::Params{.input = ..., .done = ...}, clock);
//   pipeline.Submit(std::move(task));
//
// Lifetime: shared by the queue entries of its pieces; freed when the last of them is done.
// Thread safety: Abandoned, Complete, BeginCompute and CompletePiece may be called from any thread.
// BeginPreparation and SetPrepared are called by one thread, before the task is shared.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/encoder.h"
#include "server/batching/admission.h"
#include "server/batching/call_size.h"
#include "server/batching/cancel_flag.h"
#include "server/batching/clock.h"
#include "server/batching/task_timer.h"
#include "server/text/encode_input.h"
#include "server/text/prepared_text.h"

namespace longspan {

class AnswerRoom;
class TokenVectorBuffer;

// What admission should count for one input before it is tokenised. `max_tokens`: longest text in
// force, in tokens; 0 = no bound.
AdmissionClaim ClaimFor(const EncodeInput& input, int64_t max_tokens);

// DEADLINE_EXCEEDED: "the deadline passed", `when`, and what computing was predicted to take; 0 =
// that is not known.
absl::Status DeadlinePassed(std::string_view when, double predicted_seconds);

class EncodeTask {
 public:
  // Called once, on any thread, with no lock of the engine held; must not block.
  using Done =
      absl::AnyInvocable<void(absl::StatusOr<EncodedDocument> result, const StageTimings& timings)>;

  struct Params {
    EncodeInput input;
    absl::Time arrival;                            // when the request came, by the engine's clock
    absl::Time deadline = absl::InfiniteFuture();  // by the engine's clock (Clock::FromTimeout)
    std::shared_ptr<CancelFlag> cancel;            // null = cannot be cancelled
    // Who shares the queue (lane_queue.h), as RpcCall::client; may be empty.
    std::string client;
    AdmissionPermit permit;
    // Of the call that the input belongs to; nothing = the input is all of it.
    std::optional<CallSize> call_size;
    // Where input.options.token_sink puts the token vectors, so that room for them is reserved
    // before the task is queued (EncodePipeline). Null = none are wanted.
    std::shared_ptr<TokenVectorBuffer> token_vectors;
    // Where the room for the vectors of the answer is counted, before the task is queued; those of
    // `token_vectors` are part of it. Null = not counted.
    std::shared_ptr<AnswerRoom> answer;
    // What measures the task, where somebody reads it while the task goes on (RpcCall); null = the
    // task makes its own.
    std::shared_ptr<TaskTimer> timer;
    // Asked once the number of vectors of the answer is known, before the task is queued. An error
    // ends the task. Empty = the caller takes an answer of any size.
    std::function<absl::Status(const EncodeInput& input, const PreparedText& prepared)>
        check_answer;
    Done done;
  };

  EncodeTask(Params params, const Clock* clock);
  ~EncodeTask();  // completes with INTERNAL if nobody did
  EncodeTask(const EncodeTask&) = delete;
  EncodeTask& operator=(const EncodeTask&) = delete;

  const EncodeInput& input() const { return input_; }
  const std::string& client() const { return client_; }
  const CallSize& call_size() const { return call_size_; }
  // Predicted seconds of the whole call, where those of this task are known to be so many by now.
  // Admission's estimates may all be wrong by one factor, as they come from bytes.
  double CallSeconds(double task_seconds) const;
  absl::Time deadline() const { return deadline_; }
  AdmissionPermit& permit() { return permit_; }  // only before the task is shared
  TokenVectorBuffer* token_vectors() const { return token_vectors_.get(); }  // null = not wanted
  AnswerRoom* answer() const { return answer_.get(); }                       // null = not counted
  // Whether the caller takes the answer to this (Params::check_answer).
  absl::Status CheckAnswer(const PreparedText& prepared) const {
    return check_answer_ ? check_answer_(input_, prepared) : absl::OkStatus();
  }

  // Why this task should not cost anything more: CANCELLED, DEADLINE_EXCEEDED, or ABORTED where it
  // is completed already. OK = go on.
  absl::Status Abandoned() const;

  // Ends the task. The first call wins and runs `done`; later ones return false and do nothing.
  bool Complete(absl::StatusOr<EncodedDocument> result);

  // For the tokenizer thread, before the task is shared.
  void BeginPreparation();
  void SetPrepared(PreparedText prepared);
  const PreparedText& prepared() const { return prepared_; }

  // For the worker threads.
  using BatchShape = longspan::BatchShape;
  void BeginCompute(const BatchShape& batch);
  // Hands in one piece's result. The last one joins all of them and completes the task; the first
  // error completes it at once.
  void CompletePiece(int32_t piece, absl::StatusOr<EncodedText> result, const BatchShape& batch);

 private:
  // Constant after construction.
  const Clock* const clock_;
  const EncodeInput input_;
  const absl::Time arrival_;
  const absl::Time deadline_;
  const std::shared_ptr<CancelFlag> cancel_;
  const std::string client_;
  const CallSize call_size_;
  const double estimated_seconds_;  // of this task, in call_size_
  double predicted_seconds_;        // of this task, as exact as is known; set by SetPrepared
  const std::function<absl::Status(const EncodeInput&, const PreparedText&)> check_answer_;
  const std::shared_ptr<TokenVectorBuffer> token_vectors_;
  const std::shared_ptr<AnswerRoom> answer_;
  const std::shared_ptr<TaskTimer> timer_;

  // Constant once the task is shared.
  PreparedText prepared_;

  std::atomic<bool> completed_{false};
  AdmissionPermit permit_;  // touched before the task is shared and by the one that completes
  Done done_;               // touched before the task is shared and by the one that completes

  mutable absl::Mutex mu_;
  std::vector<EncodedText> encoded_ ABSL_GUARDED_BY(mu_);  // one per piece
  size_t pieces_missing_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace longspan
