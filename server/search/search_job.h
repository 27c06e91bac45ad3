// SearchJob: one search over the texts of a request. The question and
// each document go through the pipeline as an EncodeTask each, all at once, so that they share
// passes with whatever else is there. Of a document its token vectors stay, as int8, until it is
// scored, and then four bytes for each cell and token of the question. Where the best tokens of the
// passages are wanted, the vectors of all documents stay until they are ranked:
//
//   tokenizer thread   words of the document counted, room for its vectors reserved
//   worker             rows taken (TextRows)
//   tokenizer thread   once the question is there too: CellCosines; the rows are freed
//   the last one       weights of the question's tokens, passages, BM25, Rank, best tokens
//
// The first error ends it. Whoever ends the call sets its CancelFlag, and what still waits is
// dropped.
//
// Lifetime: shared by the callbacks of its tasks, freed with the last of them. `done` is called
// once. Thread safety: internally synchronised. Proven by search_job_test.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/search/late_interaction.h"
#include "core/search/token_weights.h"
#include "server/batching/admission.h"
#include "server/batching/task_timer.h"
#include "server/search/query_rows.h"
#include "server/search/query_words.h"
#include "server/search/search_engine.h"
#include "server/search/search_request.h"
#include "server/search/searching.h"
#include "server/search/text_rows.h"

namespace longspan {

class SearchJob final : public Searching, public std::enable_shared_from_this<SearchJob> {
 public:
  // INVALID_ARGUMENT where the language of the words is not known.
  static absl::StatusOr<std::shared_ptr<Searching>> Create(SearchRequest request,
                                                           const SearchEngine& engine);

  std::vector<AdmissionClaim> Claims(int64_t max_tokens) const override;
  const std::vector<EncodeInput>& documents() const override { return request_.documents; }
  const EncodeInput& query() const override { return request_.query; }
  void Begin(Order order) override;

 private:
  struct Document {
    // Set on the thread that prepares the text, before its task is queued.
    std::shared_ptr<TextRows> rows;
    std::optional<CellWords> words;
    OutputReservation room;
    // Set once it is scored.
    std::vector<std::vector<float>> cells;  // of each run of rows
    std::optional<TokenRarity> rarity;
    EncodedDocument counts;  // without vectors
  };

  SearchJob(SearchRequest request, const SearchEngine& engine, QueryWords words);

  // The question's tokens as they are compared, once all documents are known.
  struct Asked {
    std::shared_ptr<const LateQuestion> question;
    std::vector<float> weights;
  };

  // What the scores of a document of so many rows take, and what ranking makes of them.
  int64_t BytesOfScores(int64_t rows) const;
  // What the best tokens of its passages take; 0 where they are not wanted.
  int64_t BytesOfBestTokens(int64_t rows) const;
  EncodeTask::Params ParamsOf(size_t text, EncodeInput input, CallSize call_size);
  absl::Status PrepareDocument(size_t document, const EncodeInput& input,
                               const PreparedText& prepared);
  void OnText(size_t text, absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  // Takes the step now where so many products take no time, or on a tokenizer thread.
  absl::Status RunSoon(int64_t products, std::function<void()> step);
  void HandToScorer(size_t document);
  void Score(size_t document);
  void FreeRows(Document& document);
  // Of the passages that are answered.
  int64_t MostAnsweredRows() const;
  void HandToRanker();  // all are scored
  void Finish();
  SearchAnswer Rank() const;
  FoundDocument Found(const RankedDocument& ranked, const SearchedDocument& searched,
                      const Asked& asked) const;
  SearchedDocument Searched(const Document& document, const std::vector<float>& weights) const;
  void Fail(size_t text, const absl::Status& status);

  // Constant once Begin has handed the first text over.
  const SearchEngine engine_;
  SearchRequest request_;  // its texts have gone to the tasks
  const QueryWords words_;
  const int64_t most_query_tokens_;
  Order order_;

  // Each written by one thread at a time: see the steps above.
  QueryRows query_;
  std::vector<Document> documents_;

  mutable absl::Mutex mu_;
  std::shared_ptr<const LateQuestion> question_ ABSL_GUARDED_BY(mu_);  // null = not there yet
  EncodedDocument query_counts_ ABSL_GUARDED_BY(mu_);
  std::vector<size_t> waiting_ ABSL_GUARDED_BY(mu_);  // documents that wait for the question
  size_t missing_ ABSL_GUARDED_BY(mu_) = 0;           // documents that are not scored
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
