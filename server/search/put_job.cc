#include "server/search/put_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "core/search/cells.h"
#include "server/batching/encode_task.h"
#include "server/search/cell_words.h"
#include "server/search/within_memory.h"
#include "server/text/stems.h"

namespace longspan {
namespace {

// The pool counts bytes to tokenise, of which a core reads two million a second; it packs some 200
// million values.
constexpr int64_t kValuesPerByte = 100;

std::string FormatName(TokenFormat format) {
  return format == TokenFormat::kTwoBit ? "KEPT_FORMAT_TWO_BIT" : "KEPT_FORMAT_INT8";
}

// What the collection was made with, or, where there is none, what the request says of a new one.
absl::StatusOr<CollectionSettings> SettingsFor(const Collections& collections,
                                               const PutRequest& request) {
  const auto collection = collections.Find(request.collection.owner, request.collection.name);
  if (absl::IsNotFound(collection.status())) {
    return CollectionSettings{
        .format = request.format.value_or(TokenFormat::kInt8),
        .cell_tokens = request.cell_tokens.value_or(kCellTokens),
        .language = request.language.value_or(std::string(kDefaultStemLanguage))};
  }
  if (!collection.ok()) return collection.status();
  CollectionSettings settings = (*collection)->Info().settings;
  const auto differs = [&](const char* field, const auto& got, const auto& has) {
    return AtField(
        absl::FailedPreconditionError(absl::StrCat("is ", got, "; the collection was made with ",
                                                   has, "; allowed: the same, or unset")),
        field);
  };
  if (request.format.value_or(settings.format) != settings.format)
    return differs("options.format", FormatName(*request.format), FormatName(settings.format));
  if (request.cell_tokens.value_or(settings.cell_tokens) != settings.cell_tokens) {
    return differs("options.span_tokens", *request.cell_tokens * kCellsOfAPassage,
                   settings.cell_tokens * kCellsOfAPassage);
  }
  if (request.language.value_or(settings.language) != settings.language)
    return differs("options.language", *request.language, settings.language);
  return settings;
}

}  // namespace

absl::StatusOr<std::shared_ptr<PutJob>> PutJob::Create(PutRequest request,
                                                       const SearchEngine& engine) {
  auto collections = CollectionsOf(engine);
  if (!collections.ok()) return collections.status();
  auto settings = SettingsFor(**collections, request);
  if (!settings.ok()) return settings.status();
  if (auto stemmer = Stemmer::Create(settings->language); !stemmer.ok()) return stemmer.status();
  return std::shared_ptr<PutJob>(new PutJob(std::move(request), engine, *std::move(settings)));
}

PutJob::PutJob(PutRequest request, const SearchEngine& engine, CollectionSettings settings)
    : engine_(engine), request_(std::move(request)), settings_(std::move(settings)) {}

std::vector<AdmissionClaim> PutJob::Claims(int64_t max_tokens) const {
  std::vector<AdmissionClaim> claims;
  claims.reserve(request_.documents.size());
  for (const EncodeInput& document : request_.documents)
    claims.push_back(ClaimFor(document, max_tokens));
  return claims;
}

void PutJob::Begin(Order order) {
  order_ = std::move(order);
  std::vector<EncodeInput> documents = std::move(request_.documents);
  documents_ = std::vector<Document>(documents.size());
  {
    absl::MutexLock lock(&mu_);
    missing_ = documents.size();
  }
  CallSize call_size;
  for (const AdmissionPermit& permit : order_.permits) call_size += permit.size();
  for (size_t i = 0; i < documents.size(); ++i) {
    engine_.pipeline->Submit(std::make_shared<EncodeTask>(
        ParamsOf(i, std::move(documents[i]), call_size), engine_.clock));
  }
}

EncodeTask::Params PutJob::ParamsOf(size_t index, EncodeInput input, CallSize call_size) {
  auto rows = std::make_shared<TextRows>(engine_.width, TextRows::kInt8);
  documents_[index].rows = rows;
  TextRows::Want(rows, &input);
  EncodeTask::Params params{.input = std::move(input),
                            .arrival = order_.arrival,
                            .deadline = order_.deadline,
                            .cancel = order_.cancel,
                            .client = order_.client,
                            .permit = std::move(order_.permits[index]),
                            .call_size = call_size,
                            .timer = order_.new_timer()};
  params.check_answer = [job = shared_from_this(), index](const EncodeInput& prepared_input,
                                                          const PreparedText& prepared) {
    return job->PrepareDocument(index, prepared_input, prepared);
  };
  params.done = [job = shared_from_this(), index](absl::StatusOr<EncodedDocument> result,
                                                  const StageTimings& timings) {
    job->OnText(index, std::move(result), timings);
  };
  return params;
}

absl::Status PutJob::PrepareDocument(size_t index, const EncodeInput& input,
                                     const PreparedText& prepared) {
  Document& document = documents_[index];
  const TokenPlaces& places = *prepared.token_places;
  document.rows->SetPlaces(prepared.token_places);
  auto stemmer = Stemmer::Create(settings_.language);
  if (!stemmer.ok()) return stemmer.status();
  auto words = KeptWordsOf(input.text, places, settings_.cell_tokens, *stemmer, [this] {
    return order_.cancel->cancelled() ? absl::CancelledError("the call has ended")
                                      : absl::OkStatus();
  });
  if (!words.ok()) return words.status();
  document.words = *std::move(words);
  const KeptSize size{.rows = places.num_rows(),
                      .runs = static_cast<int64_t>(places.runs().size()),
                      .words = static_cast<int64_t>(document.words.size()),
                      .width = engine_.width,
                      .cell_tokens = settings_.cell_tokens,
                      .format = settings_.format};
  if (absl::Status status = CheckRoom(LeastKeptBytes(size)); !status.ok()) return status;
  auto room = engine_.admission->ReserveOutput(
      TextRows::BytesOf(places.num_rows(), engine_.width, TextRows::kInt8) + places.bytes() +
      static_cast<int64_t>(document.words.capacity() * sizeof(KeptWord)) + MostKeptBytes(size));
  if (!room.ok()) return room.status();
  document.room = *std::move(room);
  return absl::OkStatus();
}

void PutJob::OnText(size_t index, absl::StatusOr<EncodedDocument> result,
                    const StageTimings& timings) {
  order_.on_text(result, timings);
  if (!result.ok()) return Fail(index, result.status());
  documents_[index].counts = *std::move(result);
  const int64_t values = documents_[index].rows->places().num_rows() * engine_.width;
  const absl::Status handed = WithinMemory([&] {
    // Also where the pool no longer takes jobs: whoever waits gets an answer.
    engine_.tokenizers->Submit(
        order_.client, values / kValuesPerByte,
        [job = shared_from_this(), index](const absl::Status&) { job->Pack(index); });
    return absl::OkStatus();
  });
  if (!handed.ok()) Fail(index, handed);
}

void PutJob::Pack(size_t index) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_ || order_.cancel->cancelled()) return;
  }
  Document& document = documents_[index];
  absl::Status status = WithinMemory([&] {
    document.packed = Packed(document);
    return absl::OkStatus();
  });
  document.rows->Free();
  document.words = {};
  if (!status.ok()) return Fail(index, status);
  document.room.Shrink(
      TextRows::BytesOf(document.rows->places().num_rows(), engine_.width, TextRows::kInt8));
  {
    absl::MutexLock lock(&mu_);
    if (ended_ || --missing_ > 0) return;
    ended_ = true;
  }
  absl::StatusOr<PutAnswer> answer = PutAnswer();
  status = WithinMemory([&] {
    answer = Keep();
    return absl::OkStatus();
  });
  if (!status.ok()) answer = status;
  order_.done(std::move(answer));
}

std::vector<std::byte> PutJob::Packed(const Document& document) const {
  const TokenPlaces& places = document.rows->places();
  std::vector<KeptRun> runs;
  runs.reserve(places.runs().size());
  for (const TokenPlaces::Run& run : places.runs())
    runs.push_back({run.first_row, run.end_row, run.first_token});
  std::vector<KeptRange> used_text;
  used_text.reserve(document.counts.used_text.size());
  for (const TextRange& range : document.counts.used_text)
    used_text.push_back({range.begin, range.end});
  return PackText({.format = settings_.format,
                   .cell_tokens = settings_.cell_tokens,
                   .rows = &document.rows->matrix(),
                   .runs = runs,
                   .ids = places.ids(),
                   .places = places.places(),
                   .words = document.words,
                   .used_text = used_text,
                   .tokens_total = document.counts.tokens_total,
                   .tokens_used = document.counts.tokens_used});
}

std::optional<absl::Time> PutJob::Expiry() const {
  const absl::Duration kept = std::min(request_.time_to_live, engine_.longest_kept);
  if (kept == absl::InfiniteDuration()) return std::nullopt;
  return engine_.collections->Now() + kept;
}

absl::Status PutJob::CheckRoom(int64_t least_bytes) {
  const CollectionRef& collection = request_.collection;
  return engine_.collections->CheckRoom(collection.owner, collection.name, request_.ids,
                                        least_bytes_ += least_bytes);
}

absl::StatusOr<PutAnswer> PutJob::Keep() {
  PutAnswer answer;
  std::vector<PutText> texts;
  texts.reserve(documents_.size());
  for (size_t i = 0; i < documents_.size(); ++i) {
    texts.push_back({std::move(request_.ids[i]), std::move(documents_[i].packed)});
    answer.documents.push_back(
        {documents_[i].counts.tokens_total, documents_[i].counts.tokens_used});
  }
  const auto counts = engine_.collections->Put(request_.collection.owner, request_.collection.name,
                                               settings_, texts, Expiry());
  if (!counts.ok()) return counts.status();
  answer.added = counts->added;
  answer.replaced = counts->replaced;
  answer.collection = {.name = request_.collection.name,
                       .documents = counts->documents,
                       .tokens = counts->tokens,
                       .bytes = counts->bytes,
                       .settings = settings_};
  return answer;
}

void PutJob::Fail(size_t index, const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    ended_ = true;
  }
  order_.done(order_.translate(index, status));
}

}  // namespace longspan
