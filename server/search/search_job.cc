#include "server/search/search_job.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/batching/encode_task.h"
#include "server/search/found_tokens.h"
#include "server/search/within_memory.h"
#include "server/text/stems.h"

namespace longspan {
namespace {

// Products of two bytes that are summed at once on the thread where they come up: half a
// millisecond at the slowest.
constexpr int64_t kInlineProducts = 1 << 24;
// The pool counts bytes to tokenise, of which a core reads two million a second; it sums some 20
// billion products.
constexpr int64_t kProductsPerByte = 10000;

}  // namespace

absl::StatusOr<std::shared_ptr<Searching>> SearchJob::Create(SearchRequest request,
                                                             const SearchEngine& engine) {
  auto stemmer = Stemmer::Create(request.settings.language);
  if (!stemmer.ok()) return stemmer.status();
  auto words = QueryWords::Read(request.query.text, *stemmer);
  if (!words.ok()) return words.status();
  return std::shared_ptr<Searching>(new SearchJob(std::move(request), engine, *std::move(words)));
}

SearchJob::SearchJob(SearchRequest request, const SearchEngine& engine, QueryWords words)
    : engine_(engine),
      request_(std::move(request)),
      words_(std::move(words)),
      most_query_tokens_(MostQueryTokens(request_.query, request_.settings.weights)),
      query_(request_.settings.weights, engine.width) {}

// Of each cell a cosine with each of the question's tokens, and a passage; of each second one a
// block with a count of each of its words, twice while they are ranked.
int64_t SearchJob::BytesOfScores(int64_t rows) const {
  constexpr int64_t kPassageBytes = 64, kBlockBytes = 64;
  const auto words = static_cast<int64_t>(words_.size());
  return (1 + NumCells(rows, request_.settings.cell_tokens)) *
         (static_cast<int64_t>(sizeof(float)) * most_query_tokens_ + kPassageBytes +
          static_cast<int64_t>(sizeof(int32_t)) * words + kBlockBytes);
}

// Passages that are answered do not overlap.
int64_t SearchJob::BytesOfBestTokens(int64_t rows) const {
  const SearchSettings& settings = request_.settings;
  if (!settings.best_tokens) return 0;
  const int64_t spans = std::min(static_cast<int64_t>(settings.ranking.max_passages),
                                 1 + NumCells(rows, settings.cell_tokens));
  return spans * most_query_tokens_ * static_cast<int64_t>(sizeof(FoundToken));
}

std::vector<AdmissionClaim> SearchJob::Claims(int64_t max_tokens) const {
  std::vector<AdmissionClaim> claims;
  claims.reserve(1 + request_.documents.size());
  claims.push_back(ClaimFor(request_.query, max_tokens));
  for (const EncodeInput& document : request_.documents)
    claims.push_back(ClaimFor(document, max_tokens));
  return claims;
}

void SearchJob::Begin(Order order) {
  order_ = std::move(order);
  std::vector<EncodeInput> documents = std::move(request_.documents);
  documents_ = std::vector<Document>(documents.size());
  {
    absl::MutexLock lock(&mu_);
    missing_ = documents.size();
  }
  CallSize call_size;
  for (const AdmissionPermit& permit : order_.permits) call_size += permit.size();
  const auto submit = [&](size_t text, EncodeInput input) {
    engine_.pipeline->Submit(
        std::make_shared<EncodeTask>(ParamsOf(text, std::move(input), call_size), engine_.clock));
  };
  submit(kQuery, std::move(request_.query));
  for (size_t i = 0; i < documents.size(); ++i) submit(i + 1, std::move(documents[i]));
}

EncodeTask::Params SearchJob::ParamsOf(size_t text, EncodeInput input, CallSize call_size) {
  if (text == kQuery) {
    query_.Want(&input);
  } else {
    auto rows = std::make_shared<TextRows>(engine_.width, TextRows::kInt8);
    documents_[text - 1].rows = rows;
    TextRows::Want(rows, &input);
  }
  EncodeTask::Params params{.input = std::move(input),
                            .arrival = order_.arrival,
                            .deadline = order_.deadline,
                            .cancel = order_.cancel,
                            .client = order_.client,
                            .permit = std::move(order_.permits[text]),
                            .call_size = call_size,
                            .timer = order_.new_timer()};
  params.check_answer = [job = shared_from_this(), text](const EncodeInput& prepared_input,
                                                         const PreparedText& prepared) {
    return text == kQuery ? job->query_.Prepare(prepared_input, prepared)
                          : job->PrepareDocument(text - 1, prepared_input, prepared);
  };
  params.done = [job = shared_from_this(), text](absl::StatusOr<EncodedDocument> result,
                                                 const StageTimings& timings) {
    job->OnText(text, std::move(result), timings);
  };
  return params;
}

absl::Status SearchJob::PrepareDocument(size_t index, const EncodeInput& input,
                                        const PreparedText& prepared) {
  Document& document = documents_[index];
  const TokenPlaces& places = *prepared.token_places;
  document.rows->SetPlaces(prepared.token_places);
  auto room = engine_.admission->ReserveOutput(
      TextRows::BytesOf(places.num_rows(), engine_.width, TextRows::kInt8) + places.bytes() +
      BytesOfScores(places.num_rows()) + BytesOfBestTokens(places.num_rows()));
  if (!room.ok()) return room.status();
  document.room = *std::move(room);
  auto stemmer = Stemmer::Create(request_.settings.language);
  if (!stemmer.ok()) return stemmer.status();
  auto words = words_.CountIn(input.text, places, request_.settings.cell_tokens, *stemmer, [this] {
    return order_.cancel->cancelled() ? absl::CancelledError("the search has ended")
                                      : absl::OkStatus();
  });
  if (!words.ok()) return words.status();
  document.words = *std::move(words);
  return absl::OkStatus();
}

void SearchJob::OnText(size_t text, absl::StatusOr<EncodedDocument> result,
                       const StageTimings& timings) {
  order_.on_text(result, timings);
  if (!result.ok()) return Fail(text, result.status());
  std::vector<size_t> ready;
  const absl::Status status = WithinMemory([&] {
    std::shared_ptr<const LateQuestion> question;
    EncodedDocument counts = *std::move(result);
    if (text == kQuery) {
      question = std::make_shared<const LateQuestion>(query_.Take());
    } else {
      std::swap(documents_[text - 1].counts, counts);
    }
    absl::MutexLock lock(&mu_);
    if (ended_) return absl::OkStatus();
    if (text == kQuery) {
      question_ = std::move(question);
      query_counts_ = std::move(counts);
      ready.swap(waiting_);
    } else {
      (question_ == nullptr ? waiting_ : ready).push_back(text - 1);
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return Fail(text, status);
  for (const size_t document : ready) HandToScorer(document);
}

absl::Status SearchJob::RunSoon(int64_t products, std::function<void()> step) {
  if (products <= kInlineProducts) {
    step();
    return absl::OkStatus();
  }
  return WithinMemory([&] {
    // Also where the pool no longer takes jobs: whoever waits gets an answer.
    engine_.tokenizers->Submit(
        order_.client, products / kProductsPerByte,
        [job = shared_from_this(), step = std::move(step)](const absl::Status&) { step(); });
    return absl::OkStatus();
  });
}

void SearchJob::HandToScorer(size_t document) {
  const int64_t products =
      documents_[document].rows->places().num_rows() * query_.num_tokens() * engine_.width;
  const absl::Status handed = RunSoon(products, [this, document] { Score(document); });
  if (!handed.ok()) Fail(document + 1, handed);
}

void SearchJob::Score(size_t index) {
  std::shared_ptr<const LateQuestion> question;
  {
    absl::MutexLock lock(&mu_);
    if (ended_ || order_.cancel->cancelled()) return;
    question = question_;
  }
  Document& document = documents_[index];
  const TokenPlaces& places = document.rows->places();
  const int64_t cell_tokens = request_.settings.cell_tokens;
  const absl::Status status = WithinMemory([&] {
    document.rarity.emplace(query_.ids());
    for (const TokenPlaces::Run& run : places.runs()) {
      document.cells.push_back(
          CellCosines(*question, document.rows->matrix(), run.first_row, run.end_row, cell_tokens));
      document.rarity->Count(places.ids().subspan(run.first_row, run.end_row - run.first_row),
                             cell_tokens);
    }
    return absl::OkStatus();
  });
  if (!request_.settings.best_tokens || !status.ok()) FreeRows(document);
  if (!status.ok()) return Fail(index + 1, status);
  {
    absl::MutexLock lock(&mu_);
    if (ended_ || --missing_ > 0) return;
    ended_ = true;
  }
  HandToRanker();
}

void SearchJob::FreeRows(Document& document) {
  document.rows->Free();
  document.room.Shrink(
      TextRows::BytesOf(document.rows->places().num_rows(), engine_.width, TextRows::kInt8));
}

int64_t SearchJob::MostAnsweredRows() const {
  const RankingOptions& ranking = request_.settings.ranking;
  const int64_t passages =
      static_cast<int64_t>(ranking.max_passages) * request_.settings.cell_tokens * kCellsOfAPassage;
  int64_t all = 0, most = 0;
  for (const Document& document : documents_) {
    const int64_t rows = std::min(passages, document.rows->places().num_rows());
    all += rows;
    most = std::max(most, rows);
  }
  const size_t answered = std::min(ranking.max_documents, documents_.size());
  return std::min(all, most * static_cast<int64_t>(answered));
}

void SearchJob::HandToRanker() {
  const int64_t rows = request_.settings.best_tokens ? MostAnsweredRows() : 0;
  const absl::Status handed =
      RunSoon(rows * query_.num_tokens() * engine_.width, [this] { Finish(); });
  if (!handed.ok()) order_.done(handed);
}

void SearchJob::Finish() {
  if (order_.cancel->cancelled()) return;
  SearchAnswer answer;
  const absl::Status status = WithinMemory([&] {
    answer = Rank();
    return absl::OkStatus();
  });
  if (request_.settings.best_tokens) {
    for (Document& document : documents_) FreeRows(document);
  }
  if (!status.ok()) return order_.done(status);
  order_.done(std::move(answer));
}

SearchedDocument SearchJob::Searched(const Document& document,
                                     const std::vector<float>& weights) const {
  SearchedDocument searched{.blocks = document.words->Blocks()};
  const int64_t cell_tokens = request_.settings.cell_tokens;
  int64_t first_block = 0;
  size_t number = 0;
  for (const TokenPlaces::Run& run : document.rows->places().runs()) {
    const auto passages =
        ScorePassages(document.cells[number++], weights, run.first_row, run.end_row, cell_tokens);
    const int64_t cells = NumCells(run.end_row - run.first_row, cell_tokens);
    for (size_t i = 0; i < passages.size(); ++i) {
      searched.passages.push_back(passages[i]);
      searched.block_of.push_back(first_block + BlockOfPassage(static_cast<int64_t>(i)));
    }
    first_block += NumBlocks(cells);
  }
  return searched;
}

SearchAnswer SearchJob::Rank() const {
  TokenRarity rarity(query_.ids());
  for (const Document& document : documents_) rarity.Add(*document.rarity);
  Asked asked{.weights = query_.Weights(rarity)};
  std::vector<SearchedDocument> searched;
  searched.reserve(documents_.size());
  SearchAnswer answer;
  {
    absl::MutexLock lock(&mu_);
    asked.question = question_;
    answer.query_tokens = query_counts_.tokens_used;
    answer.query_truncated = query_counts_.truncated;
  }
  for (const Document& document : documents_) {
    searched.push_back(Searched(document, asked.weights));
    answer.documents_tokens += document.counts.tokens_used;
    answer.documents_truncated += document.counts.truncated ? 1 : 0;
  }
  for (const RankedDocument& ranked : longspan::Rank(searched, request_.settings.ranking))
    answer.documents.push_back(Found(ranked, searched[ranked.document], asked));
  return answer;
}

FoundDocument SearchJob::Found(const RankedDocument& ranked, const SearchedDocument& searched,
                               const Asked& asked) const {
  const Document& document = documents_[ranked.document];
  const TokenPlaces& places = document.rows->places();
  FoundDocument found{.index = ranked.document,
                      .score = ranked.score,
                      .similarity = ranked.similarity,
                      .bm25 = ranked.bm25,
                      .tokens_total = document.counts.tokens_total,
                      .tokens_used = document.counts.tokens_used,
                      .used_text = document.counts.used_text};
  for (const RankedPassage& ranked_passage : ranked.passages) {
    const Passage& passage = searched.passages[ranked_passage.passage];
    found.spans.push_back({.bytes = places.Bytes(passage.begin, passage.end),
                           .characters = places.Characters(passage.begin, passage.end),
                           .tokens = places.Tokens(passage.begin, passage.end),
                           .score = ranked_passage.score,
                           .similarity = ranked_passage.similarity});
    if (!request_.settings.best_tokens) continue;
    const auto best = BestTokens(*asked.question, asked.weights, document.rows->matrix(),
                                 passage.begin, passage.end);
    found.spans.back().best_tokens = FoundTokens(best, query_.places(), places.places());
  }
  return found;
}

void SearchJob::Fail(size_t text, const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    ended_ = true;
  }
  order_.done(order_.translate(text, status));
}

}  // namespace longspan
