// What the engine's tests share: prepared tasks, all tokens of which are the task's number, and a
// record of what became of them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "server/batching/batch_scheduler.h"
#include "server/batching/encode_task.h"
#include "tests/server/batching/fake_clock.h"

namespace longspan {

struct Outcome {
  absl::StatusOr<EncodedDocument> result;
  StageTimings timings;
};

// What became of each task, by its number. Every call of `done` is kept, so that a second answer
// shows.
class Outcomes {
 public:
  EncodeTask::Done Record(int64_t number) {
    return [this, number](absl::StatusOr<EncodedDocument> result, const StageTimings& timings) {
      absl::MutexLock lock(&mu_);
      outcomes_[number].push_back({std::move(result), timings});
      ++total_;
    };
  }
  size_t count(int64_t number) const {
    absl::MutexLock lock(&mu_);
    return outcomes_.contains(number) ? outcomes_.at(number).size() : 0;
  }
  int64_t total() const {
    absl::MutexLock lock(&mu_);
    return total_;
  }
  // The outcome of a task, which must be there.
  Outcome only(int64_t number) const {
    absl::MutexLock lock(&mu_);
    return outcomes_.at(number).at(0);
  }
  absl::StatusCode code(int64_t number) const { return only(number).result.status().code(); }
  void AwaitTotal(int64_t total) const {
    absl::MutexLock lock(&mu_);
    struct Wait {
      const int64_t* have;
      int64_t want;
    } wait{&total_, total};
    mu_.Await(absl::Condition(
        +[](Wait* w) { return *w->have >= w->want; }, &wait));
  }

 private:
  mutable absl::Mutex mu_;
  std::map<int64_t, std::vector<Outcome>> outcomes_ ABSL_GUARDED_BY(mu_);
  int64_t total_ ABSL_GUARDED_BY(mu_) = 0;
};

struct TaskParams {
  int64_t number = 0;
  std::vector<int64_t> lengths = {10};  // tokens of each piece
  std::string client = {};
  absl::Duration timeout = absl::InfiniteDuration();
  std::shared_ptr<CancelFlag> cancel = nullptr;
  AdmissionPermit permit = {};
  CallSize call_size = {.seconds = 1e6};  // all calls are of one size
};

// A prepared task. All its tokens are `number`; its document vector is the mean of its pieces,
// weighted by their lengths.
inline std::shared_ptr<EncodeTask> MakeTask(TaskParams params, const Clock& clock,
                                            Outcomes& outcomes) {
  EncodeTask::Params task{.arrival = clock.Now(),
                          .deadline = clock.FromTimeout(params.timeout),
                          .cancel = std::move(params.cancel),
                          .client = std::move(params.client),
                          .permit = std::move(params.permit),
                          .call_size = params.call_size,
                          .done = outcomes.Record(params.number)};
  task.input.field = "inputs[" + std::to_string(params.number) + "]";
  PreparedText prepared;
  for (const int64_t length : params.lengths) {
    prepared.document.push_back(
        {static_cast<int32_t>(prepared.pieces.size()), -1, static_cast<double>(length)});
    TextPiece piece;
    piece.token_ids.assign(length, static_cast<int32_t>(params.number));
    prepared.pieces.push_back(std::move(piece));
    prepared.tokens_total = prepared.tokens_used += length;
  }
  auto made = std::make_shared<EncodeTask>(std::move(task), &clock);
  made->SetPrepared(std::move(prepared));
  return made;
}

// One millisecond a token. A batch costs what its texts cost together.
inline double MillisecondPerToken(const TextShape& text) {
  return static_cast<double>(text.tokens) * 1e-3;
}
inline BatchCost LinearCost() {
  return {.text_seconds = MillisecondPerToken,
          .batch_seconds = [](std::span<const TextShape> texts) {
            double seconds = 0;
            for (const TextShape& text : texts) seconds += MillisecondPerToken(text);
            return seconds;
          }};
}

// The number of each piece's task, in the order of the batch.
inline std::vector<int64_t> Numbers(const PackedBatch& batch) {
  std::vector<int64_t> numbers;
  for (const QueuedPiece& piece : batch.pieces)
    numbers.push_back(piece.task->prepared().pieces[piece.piece].token_ids.front());
  return numbers;
}

// Completes every piece of a batch with its task's number, as a worker would.
inline void Answer(const PackedBatch& batch, const Clock& clock) {
  const EncodeTask::BatchShape shape{clock.Now(), static_cast<int32_t>(batch.pieces.size()),
                                     batch.tokens};
  for (const QueuedPiece& piece : batch.pieces) {
    piece.task->BeginCompute(shape);
    const auto number =
        static_cast<float>(piece.task->prepared().pieces[piece.piece].token_ids.front());
    piece.task->CompletePiece(piece.piece, EncodedText{.vector = {number}}, shape);
  }
}

}  // namespace longspan
