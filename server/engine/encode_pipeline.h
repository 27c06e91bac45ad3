// EncodePipeline: the way of a task from the service to the queue: tokenizer thread -> PrepareText
// -> exact admission -> BatchScheduler::Submit. The one call of the handlers:
//
//   permits = admission.TryAcquire(claims, deadline)         refusals before any work
//   pipeline.Submit(std::make_shared<EncodeTask>(...))       `done` runs later, once
//
// Thread safety: Submit may be called from any thread; it never blocks and never computes. The
// parts must outlive their tasks.
#pragma once

#include <memory>

#include "core/model_info.h"
#include "server/batching/admission.h"
#include "server/batching/batch_scheduler.h"
#include "server/batching/encode_task.h"
#include "server/engine/tokenizer_pool.h"
#include "server/text/text_preparation.h"

namespace longspan {

// What admission should count for one text before it is tokenised.
AdmissionClaim ClaimFor(const EncodeInput& input, int64_t max_tokens);

class EncodePipeline {
 public:
  EncodePipeline(PreparationContext context, Admission* admission, TokenizerPool* tokenizers,
                 BatchScheduler* scheduler);

  void Submit(std::shared_ptr<EncodeTask> task);

 private:
  void Prepare(const std::shared_ptr<EncodeTask>& task);
  absl::Status Reserve(EncodeTask& task, const PreparedText& prepared);

  const PreparationContext context_;
  Admission* const admission_;
  TokenizerPool* const tokenizers_;
  BatchScheduler* const scheduler_;
};

}  // namespace longspan
