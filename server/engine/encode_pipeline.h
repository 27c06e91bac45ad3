// EncodePipeline: the way of a task from the service to the queue: tokenizer thread, PrepareText,
// which asks admission for the exact shapes of the pieces before it makes them,
// BatchScheduler::Submit. A handler makes two calls:
//
//   permits = admission.TryAcquire(claims, deadline)      refuses before any work
//   pipeline.Submit(std::make_shared<EncodeTask>(...))    the task's `done` runs later, once
//
// Thread safety: Submit may be called from any thread and never blocks. On the calling thread it
// prepares a few thousand token ids at most, everything else on a tokenizer thread. The parts must
// outlive their tasks. Proven by encode_pipeline_test.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "server/batching/admission.h"
#include "server/batching/batch_scheduler.h"
#include "server/batching/encode_task.h"
#include "server/engine/tokenizer_pool.h"
#include "server/text/preparation_context.h"
#include "server/text/prepared_text.h"

namespace longspan {

class EncodePipeline {
 public:
  EncodePipeline(PreparationContext context, Admission* admission, TokenizerPool* tokenizers,
                 BatchScheduler* scheduler);

  void Submit(const std::shared_ptr<EncodeTask>& task);

 private:
  void Prepare(const std::shared_ptr<EncodeTask>& task);
  // Puts exact lengths in place of what was estimated until now, and reserves room for token
  // vectors and for the answer, which the caller must take.
  absl::Status Reserve(EncodeTask& task, const PreparedText& prepared);

  const PreparationContext context_;
  Admission* const admission_;
  TokenizerPool* const tokenizers_;
  BatchScheduler* const scheduler_;
};

}  // namespace longspan
