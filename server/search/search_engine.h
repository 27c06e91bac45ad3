// What the jobs of this room have in common: the parts of the engine that they use, and what the
// call that a request came with gives its job.
//
// Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/error_details.h"
#include "server/batching/admission.h"
#include "server/batching/cancel_flag.h"
#include "server/batching/clock.h"
#include "server/batching/task_timer.h"
#include "server/engine/encode_pipeline.h"
#include "server/engine/tokenizer_pool.h"

namespace longspan {

class Collections;

// They outlive the job.
struct SearchEngine {
  EncodePipeline* pipeline = nullptr;
  Admission* admission = nullptr;
  TokenizerPool* tokenizers = nullptr;
  const Clock* clock = nullptr;
  Collections* collections = nullptr;  // null = none are kept
  int64_t width = 0;                   // values of a token's vector
  int64_t search_helpers = 0;          // threads of `tokenizers` beside the one that searches
  // The longest that a document is kept.
  absl::Duration longest_kept = absl::InfiniteDuration();
};

// FAILED_PRECONDITION where no documents are kept.
inline absl::StatusOr<Collections*> CollectionsOf(const SearchEngine& engine) {
  if (engine.collections != nullptr) return engine.collections;
  return AtField(absl::FailedPreconditionError(
                     "cannot be used: no documents are kept here (--collections is false)"),
                 "collection");
}

// The call's part in a job over several texts.
template <typename Answer>
struct TextsOrder {
  std::vector<AdmissionPermit> permits;  // one for each text, in order
  absl::Time arrival;                    // by the engine's clock
  absl::Time deadline;                   // by the engine's clock
  std::shared_ptr<CancelFlag> cancel;
  std::string client;
  std::function<std::shared_ptr<TaskTimer>()> new_timer;
  // Each text that was encoded, or failed. Any thread; must not block.
  std::function<void(const absl::StatusOr<EncodedDocument>& counts, const StageTimings& timings)>
      on_text;
  // An error of a text in the words of the call's contract.
  std::function<absl::Status(size_t text, const absl::Status& status)> translate;
  // Once. Any thread, with no lock held; must not block.
  absl::AnyInvocable<void(absl::StatusOr<Answer> answer)> done;
};

}  // namespace longspan
