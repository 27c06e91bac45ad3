#include "server/search/kept_search_job.h"

#include <algorithm>
#include <utility>

#include "core/search/cells.h"
#include "server/batching/encode_task.h"
#include "server/collections/collections.h"
#include "server/search/found_tokens.h"
#include "server/search/shared_parts.h"
#include "server/search/within_memory.h"
#include "server/text/stems.h"

namespace longspan {
namespace {

// The pool counts bytes to tokenise, of which a core reads two million a second. A scan reads some
// 30 million cells a second.
constexpr int64_t kCellsPerByte = 16;

FoundSpan SpanOf(const KeptText& text, const KeptPassage& passage) {
  const std::vector<TokenPlace> places = text.Places(passage.begin, passage.end);
  const auto run = std::find_if(text.runs().begin(), text.runs().end(),
                                [&](const KeptRun& one) { return passage.begin < one.end_row; });
  const int64_t first_token = run->first_token - run->first_row;
  return {.bytes = {places.front().byte_begin, places.back().byte_end},
          .characters = {places.front().character_begin, places.back().character_end},
          .tokens = {first_token + passage.begin, first_token + passage.end},
          .score = passage.score,
          .similarity = passage.similarity};
}

}  // namespace

FoundDocument KeptSearchJob::FoundIn(const KeptText& text, const KeptFound& found,
                                     std::string_view id, const KeptQuestion& question) const {
  FoundDocument document{.id = std::string(id),
                         .score = found.score,
                         .similarity = found.similarity,
                         .bm25 = found.bm25,
                         .tokens_total = text.tokens_total(),
                         .tokens_used = text.tokens_used()};
  std::vector<uint8_t> scratch;
  for (const KeptPassage& passage : found.passages) {
    document.spans.push_back(SpanOf(text, passage));
    if (!request_.settings.best_tokens) continue;
    const auto best =
        BestTokens(*question.rows, question.weights,
                   text.Rows(passage.begin, passage.end, &scratch), passage.end - passage.begin);
    document.spans.back().best_tokens =
        FoundTokens(best, query_.places(), text.Places(passage.begin, passage.end));
  }
  for (const KeptRange& range : text.used_text())
    document.used_text.push_back({range.begin, range.end});
  return document;
}

absl::StatusOr<std::shared_ptr<Searching>> KeptSearchJob::Create(SearchRequest request,
                                                                 const SearchEngine& engine) {
  auto collections = CollectionsOf(engine);
  if (!collections.ok()) return collections.status();
  auto collection = (*collections)->Find(request.collection->owner, request.collection->name);
  if (!collection.ok()) return collection.status();
  auto stemmer = Stemmer::Create((*collection)->Info().settings.language);
  if (!stemmer.ok()) return stemmer.status();
  auto words = QueryWords::Read(request.query.text, *stemmer);
  if (!words.ok()) return words.status();
  return std::shared_ptr<Searching>(
      new KeptSearchJob(std::move(request), engine, *std::move(collection), *std::move(words)));
}

KeptSearchJob::KeptSearchJob(SearchRequest request, const SearchEngine& engine,
                             std::shared_ptr<Collection> collection, QueryWords words)
    : engine_(engine),
      request_(std::move(request)),
      collection_(std::move(collection)),
      words_(std::move(words)),
      query_(request_.settings.weights, engine.width) {}

std::vector<AdmissionClaim> KeptSearchJob::Claims(int64_t max_tokens) const {
  return {ClaimFor(request_.query, max_tokens)};
}

void KeptSearchJob::Begin(Order order) {
  order_ = std::move(order);
  EncodeInput input = std::move(request_.query);
  query_.Want(&input);
  const CallSize size = order_.permits.front().size();
  EncodeTask::Params params{.input = std::move(input),
                            .arrival = order_.arrival,
                            .deadline = order_.deadline,
                            .cancel = order_.cancel,
                            .client = order_.client,
                            .permit = std::move(order_.permits.front()),
                            .call_size = size,
                            .timer = order_.new_timer()};
  params.check_answer = [job = shared_from_this()](const EncodeInput& prepared_input,
                                                   const PreparedText& prepared) {
    return job->query_.Prepare(prepared_input, prepared);
  };
  params.done = [job = shared_from_this()](absl::StatusOr<EncodedDocument> result,
                                           const StageTimings& timings) {
    job->OnQuery(std::move(result), timings);
  };
  engine_.pipeline->Submit(std::make_shared<EncodeTask>(std::move(params), engine_.clock));
}

void KeptSearchJob::OnQuery(absl::StatusOr<EncodedDocument> result, const StageTimings& timings) {
  order_.on_text(result, timings);
  if (!result.ok()) return Fail(result.status());
  query_counts_ = *std::move(result);
  const absl::Status handed = WithinMemory([&] {
    // Also where the pool no longer takes jobs: whoever waits gets an answer.
    const int64_t cells = collection_->Info().tokens / kCellTokens;
    engine_.tokenizers->Submit(order_.client, cells / kCellsPerByte,
                               [job = shared_from_this()](const absl::Status&) { job->Search(); });
    return absl::OkStatus();
  });
  if (!handed.ok()) Fail(handed);
}

void KeptSearchJob::Search() {
  if (order_.cancel->cancelled()) return;
  SearchAnswer answer;
  const absl::Status status = WithinMemory([&] {
    const Collection::Reading reading = collection_->Read();
    answer = Find(reading.index(), reading);
    return absl::OkStatus();
  });
  if (!status.ok()) return Fail(status);
  order_.done(std::move(answer));
}

SearchAnswer KeptSearchJob::Find(const KeptIndex& index, const Collection::Reading& reading) {
  const LateQuestion rows = query_.Take();
  const KeptQuestion question{.rows = &rows,
                              .weights = query_.Weights(index.Rarity(query_.ids())),
                              .stems = words_.Hashes()};
  const std::vector<KeptFound> found = SearchKept(
      index, question, {.ranking = request_.settings.ranking},
      [this](int64_t parts, const std::function<void(int64_t)>& part) {
        ForEachPartOn(engine_.tokenizers, order_.client, engine_.search_helpers, parts, part);
      });
  SearchAnswer answer{.query_tokens = query_counts_.tokens_used,
                      .query_truncated = query_counts_.truncated};
  for (const std::optional<KeptText>& text : index.texts()) {
    if (!text.has_value()) continue;
    answer.documents_tokens += text->tokens_used();
    answer.documents_truncated += text->tokens_used() < text->tokens_total() ? 1 : 0;
  }
  for (const KeptFound& one : found)
    answer.documents.push_back(
        FoundIn(*index.texts()[one.slot], one, reading.id_of(one.slot), question));
  return answer;
}

void KeptSearchJob::Fail(const absl::Status& status) {
  order_.done(order_.translate(kQuery, status));
}

}  // namespace longspan
