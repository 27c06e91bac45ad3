// KeptSearchJob: one search in a collection. The question goes through the pipeline as an
// EncodeTask; when its vectors are there, a tokenizer thread reads the collection, and others help
// it (shared_parts.h). Documents are put, deleted and forgotten meanwhile once it has ended.
//
// Lifetime: shared by the callbacks of its task, freed with the last of them. `done` is called
// once. Thread safety: its steps follow one another. Proven by kept_service_test.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/search/kept_search.h"
#include "server/collections/collection.h"
#include "server/search/query_rows.h"
#include "server/search/query_words.h"
#include "server/search/search_engine.h"
#include "server/search/search_request.h"
#include "server/search/searching.h"

namespace longspan {

class KeptSearchJob final : public Searching, public std::enable_shared_from_this<KeptSearchJob> {
 public:
  // As NewSearching.
  static absl::StatusOr<std::shared_ptr<Searching>> Create(SearchRequest request,
                                                           const SearchEngine& engine);

  std::vector<AdmissionClaim> Claims(int64_t max_tokens) const override;
  const std::vector<EncodeInput>& documents() const override { return request_.documents; }
  const EncodeInput& query() const override { return request_.query; }
  void Begin(Order order) override;

 private:
  KeptSearchJob(SearchRequest request, const SearchEngine& engine,
                std::shared_ptr<Collection> collection, QueryWords words);

  void OnQuery(absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  void Search();
  FoundDocument FoundIn(const KeptText& text, const KeptFound& found, std::string_view id,
                        const KeptQuestion& question) const;
  SearchAnswer Find(const KeptIndex& index, const Collection::Reading& reading);
  void Fail(const absl::Status& status);

  const SearchEngine engine_;
  SearchRequest request_;  // its question has gone to the task
  const std::shared_ptr<Collection> collection_;
  const QueryWords words_;
  Order order_;
  QueryRows query_;
  EncodedDocument query_counts_;
};

}  // namespace longspan
