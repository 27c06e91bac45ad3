// PutJob: the documents of one request, read and kept. Each goes through the pipeline as an
// EncodeTask, all at once, so that they share passes with whatever else is there:
//
//   tokenizer thread   words of the document read, room for all of it reserved; where the
//                      collection cannot take what is known of by now, that ends it before the
//                      model works
//   worker             rows taken (TextRows)
//   tokenizer thread   packed (core/search/kept_text.h); the rows are freed
//   the last one       all of them put into the collection
//
// The first error ends it, and nothing is kept. Whoever ends the call sets its CancelFlag, and what
// still waits is dropped.
//
// Lifetime: shared by the callbacks of its tasks, freed with the last of them. `done` is called
// once. Thread safety: internally synchronised. Proven by kept_service_test.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/search/kept_text.h"
#include "server/batching/admission.h"
#include "server/batching/encode_task.h"
#include "server/batching/task_timer.h"
#include "server/collections/collections.h"
#include "server/search/put_request.h"
#include "server/search/search_engine.h"
#include "server/search/text_rows.h"

namespace longspan {

class PutJob : public std::enable_shared_from_this<PutJob> {
 public:
  // Errors and results of document i are told as those of text i.
  using Order = TextsOrder<PutAnswer>;

  // FAILED_PRECONDITION where no documents are kept, or the collection was made with other
  // settings; INVALID_ARGUMENT where the language of the words is not known.
  static absl::StatusOr<std::shared_ptr<PutJob>> Create(PutRequest request,
                                                        const SearchEngine& engine);

  std::vector<AdmissionClaim> Claims(int64_t max_tokens) const;
  const std::vector<EncodeInput>& documents() const { return request_.documents; }

  // Hands everything over and returns. Once.
  void Begin(Order order);

 private:
  struct Document {
    // Set on the thread that prepares the text, before its task is queued.
    std::shared_ptr<TextRows> rows;
    std::vector<KeptWord> words;
    OutputReservation room;
    EncodedDocument counts;
    std::vector<std::byte> packed;
  };

  PutJob(PutRequest request, const SearchEngine& engine, CollectionSettings settings);

  EncodeTask::Params ParamsOf(size_t document, EncodeInput input, CallSize call_size);
  absl::Status PrepareDocument(size_t document, const EncodeInput& input,
                               const PreparedText& prepared);
  void OnText(size_t document, absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  void Pack(size_t document);
  std::vector<std::byte> Packed(const Document& document) const;
  // By the wall clock, which outlives the process; nullopt = never.
  std::optional<absl::Time> Expiry() const;
  // Counts so many bytes more to what is to be kept.
  absl::Status CheckRoom(int64_t least_bytes);
  absl::StatusOr<PutAnswer> Keep();
  void Fail(size_t document, const absl::Status& status);

  // Constant once Begin has handed the first text over.
  const SearchEngine engine_;
  PutRequest request_;  // its texts have gone to the tasks
  const CollectionSettings settings_;
  Order order_;

  std::atomic<int64_t> least_bytes_ = 0;  // that the prepared documents will take

  // Each written by one thread at a time: see the steps above.
  std::vector<Document> documents_;

  absl::Mutex mu_;
  size_t missing_ ABSL_GUARDED_BY(mu_) = 0;  // documents that are not packed
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
