#include "server/wire/search_decoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/text/stems.h"
#include "server/wire/enums.h"
#include "server/wire/renamed_field.h"

namespace longspan {
namespace {

constexpr double kMostWeight = 1000;
constexpr uint32_t kFewestSpanTokens = 8, kMostSpanTokens = 8192;

// The number of an optional field, in [0, most]; `usual` where it is unset.
absl::Status DecodeNumber(const std::string& field, bool is_set, double got, double most,
                          double* out) {
  if (!is_set) return absl::OkStatus();
  if (!(got >= 0 && got <= most))  // refuses NaN too
    return InvalidField(field, absl::StrCat("is ", got, "; allowed: 0 to ", most));
  *out = got;
  return absl::OkStatus();
}

// The name of the first prompt of `names` that the model has; "" where it has none of them.
std::string PromptOf(const ModelInfo& model, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (model.prompts.contains(name)) return name;
  }
  return "";
}

class SearchDecoder {
 public:
  SearchDecoder(v1::SearchRequest* wire, const DecodingContext& context)
      : wire_(wire), options_(wire->options()), context_(context) {}

  absl::StatusOr<SearchRequest> Run() {
    for (const auto step :
         {&SearchDecoder::CheckCounts, &SearchDecoder::Ranking, &SearchDecoder::Weighting,
          &SearchDecoder::Query, &SearchDecoder::Documents}) {
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
    }
    return std::move(request_);
  }

 private:
  absl::Status CheckCounts() {
    const int documents = wire_->documents_size();
    if (documents > 0 && documents <= context_.max_texts_per_request) return absl::OkStatus();
    absl::Status status = InvalidField(
        "documents",
        absl::StrCat(documents == 0 ? "is empty" : absl::StrCat("has ", documents, " texts"),
                     "; allowed: 1 to ", context_.max_texts_per_request));
    return documents == 0 ? status : WithReason(std::move(status), kReasonMaxTextsPerRequest);
  }

  absl::Status Ranking() {
    RankingOptions& ranking = request_.settings.ranking;
    if (options_.max_documents() > 0) ranking.max_documents = options_.max_documents();
    if (options_.max_spans() > 0) ranking.max_passages = options_.max_spans();
    request_.settings.best_tokens = options_.best_tokens();
    absl::Status status = DecodeNumber("options.late_weight", options_.has_late_weight(),
                                       options_.late_weight(), kMostWeight, &ranking.late_weight);
    status.Update(DecodeNumber("options.lexical_weight", options_.has_lexical_weight(),
                               options_.lexical_weight(), kMostWeight, &ranking.lexical_weight));
    status.Update(DecodeNumber("options.bm25_k1", options_.has_bm25_k1(), options_.bm25_k1(),
                               kMostWeight, &ranking.bm25.k1));
    status.Update(DecodeNumber("options.bm25_b", options_.has_bm25_b(), options_.bm25_b(), 1,
                               &ranking.bm25.b));
    if (status.ok() && ranking.late_weight == 0 && ranking.lexical_weight == 0) {
      status = InvalidField("options.lexical_weight",
                            "is 0, and so is late_weight; allowed: one of them above 0");
    }
    return status;
  }

  absl::Status Weighting() {
    if (absl::Status status = Language(); !status.ok()) return status;
    const uint32_t span_tokens = options_.span_tokens();
    const bool allowed = span_tokens >= kFewestSpanTokens && span_tokens <= kMostSpanTokens &&
                         span_tokens % kCellsOfAPassage == 0;
    if (span_tokens != 0 && !allowed) {
      return InvalidField("options.span_tokens",
                          absl::StrCat("is ", span_tokens, "; allowed: even numbers from ",
                                       kFewestSpanTokens, " to ", kMostSpanTokens));
    }
    if (span_tokens != 0) request_.settings.cell_tokens = span_tokens / kCellsOfAPassage;
    const bool multi_vector = context_.model->multi_vector.has_value();
    const QueryWeights equal = multi_vector ? QueryWeights::kAllTokens : QueryWeights::kEqual;
    QueryWeights& weights = request_.settings.weights;
    switch (options_.token_weighting()) {
      case v1::TOKEN_WEIGHTING_UNSPECIFIED:
        weights = multi_vector ? QueryWeights::kAllTokens : QueryWeights::kIdf;
        return absl::OkStatus();
      case v1::TOKEN_WEIGHTING_IDF:
        weights = QueryWeights::kIdf;
        return absl::OkStatus();
      case v1::TOKEN_WEIGHTING_EQUAL:
        weights = equal;
        return absl::OkStatus();
      default:
        return BadEnum("options.token_weighting", options_.token_weighting(),
                       "TOKEN_WEIGHTING_IDF, TOKEN_WEIGHTING_EQUAL");
    }
  }

  absl::Status Language() {
    const std::vector<std::string>& known = Stemmer::Languages();
    const std::string& got = options_.language();
    if (!got.empty() && std::find(known.begin(), known.end(), got) == known.end()) {
      return InvalidField("options.language",
                          absl::StrCat("is ", Quoted(got), "; allowed: ", QuotedNames(known)));
    }
    request_.settings.language = got;
    return absl::OkStatus();
  }

  absl::Status Query() {
    const auto bytes = static_cast<int64_t>(wire_->query().size());
    if (bytes == 0 || bytes > kMaxQueryBytes) {
      return InvalidField(
          "query", absl::StrCat(bytes == 0 ? "is empty" : absl::StrCat("has ", bytes, " bytes"),
                                "; allowed: 1 to ", kMaxQueryBytes, " bytes"));
    }
    if (options_.query_truncation() == v1::TRUNCATION_WINDOWS) {
      return InvalidField("options.query_truncation",
                          "is WINDOWS; allowed for a question: REJECT, HEAD, TAIL, HEAD_TAIL");
    }
    if (!context_.has_tokenizer) {
      return AtField(absl::FailedPreconditionError(
                         "cannot be read: this model has no tokenizer, so it searches no texts"),
                     "query");
    }
    v1::EncodeOptions options;
    options.set_truncation(options_.query_truncation());
    const int64_t limit = context_.max_tokens;
    const bool model_takes_less = limit > 0 && limit < kMaxQueryTokens;
    auto query = Decode(wire_->mutable_query(), options, "query", options_.query_prompt_name(),
                        "query_prompt_name", PromptOf(*context_.model, {"query"}));
    if (!query.ok()) return AtQuery(query.status());
    query->options.text_role = TextRole::kQuery;
    if (!model_takes_less) {
      query->max_tokens = kMaxQueryTokens;
      query->max_tokens_of = "a question";
    }
    request_.query = *std::move(query);
    return absl::OkStatus();
  }

  absl::Status Documents() {
    v1::EncodeOptions options;
    options.set_truncation(options_.truncation());
    options.set_window_overlap_tokens(options_.window_overlap_tokens());
    options.set_max_tokens(options_.max_tokens());
    const std::string prompt = PromptOf(*context_.model, {"document", "passage", "corpus"});
    request_.documents.reserve(wire_->documents_size());
    for (int i = 0; i < wire_->documents_size(); ++i) {
      v1::SearchDocument& wire = *wire_->mutable_documents(i);
      const std::string field = absl::StrCat("documents[", i, "]");
      absl::Status status = CheckId(wire.id(), field);
      if (!status.ok()) return status;
      auto document = Decode(wire.mutable_text(), options, field, options_.document_prompt_name(),
                             "document_prompt_name", prompt);
      if (!document.ok()) return AtDocument(document.status(), i, wire.id());
      request_.documents.push_back(*std::move(document));
    }
    return absl::OkStatus();
  }

  // `prompt`: the name that the caller gives in the field `prompt_field` of the options, or none.
  absl::StatusOr<EncodeInput> Decode(std::string* text, v1::EncodeOptions options,
                                     const std::string& field, const std::string& prompt,
                                     const char* prompt_field, const std::string& usual_prompt) {
    if (absl::Status status = CheckPromptName(prompt, absl::StrCat("options.", prompt_field));
        !status.ok())
      return status;
    if (!prompt.empty()) {
      const auto found =
          FindPrompt(prompt, absl::StrCat("options.", prompt_field), *context_.model);
      if (!found.ok()) return found.status();
    }
    options.set_prompt_name(prompt.empty() ? usual_prompt : prompt);
    v1::Input input;
    input.mutable_text()->swap(*text);
    return DecodeInput(&input, options, field, context_);
  }

  v1::SearchRequest* const wire_;
  const v1::SearchOptions options_;
  const DecodingContext& context_;
  SearchRequest request_;
};

}  // namespace

absl::Status AtQuery(const absl::Status& status) {
  const auto name = [](std::string_view field) {
    return field == "query.text" ? std::string("query") : std::string();
  };
  return WithInput(RenamedField(status, name, "(set query_truncation)"), "query", "");
}

absl::Status AtDocument(const absl::Status& status, size_t index, const std::string& id) {
  return WithInput(status, absl::StrCat("documents[", index, "]"), id);
}

absl::StatusOr<SearchRequest> DecodeSearchRequest(v1::SearchRequest* request,
                                                  const DecodingContext& context) {
  return SearchDecoder(request, context).Run();
}

}  // namespace longspan
