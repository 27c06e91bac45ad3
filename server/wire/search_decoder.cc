#include "server/wire/search_decoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/collections/collection_name.h"
#include "server/wire/document_decoder.h"
#include "server/wire/enums.h"
#include "server/wire/renamed_field.h"

namespace longspan {
namespace {

constexpr double kMostWeight = 1000;
// Of an answer from a collection, whose size nothing else bounds.
constexpr size_t kMostKeptDocuments = 1000, kMostKeptSpans = 100;

// The number of an optional field, in [0, most]; `usual` where it is unset.
absl::Status DecodeNumber(const std::string& field, bool is_set, double got, double most,
                          double* out) {
  if (!is_set) return absl::OkStatus();
  if (!(got >= 0 && got <= most))  // refuses NaN too
    return InvalidField(field, absl::StrCat("is ", got, "; allowed: 0 to ", most));
  *out = got;
  return absl::OkStatus();
}

class SearchDecoder {
 public:
  SearchDecoder(v1::SearchRequest* wire, const DecodingContext& context)
      : wire_(wire), options_(wire->options()), context_(context) {}

  absl::StatusOr<SearchRequest> Run() {
    for (const auto step :
         {&SearchDecoder::Collection, &SearchDecoder::Ranking, &SearchDecoder::Weighting,
          &SearchDecoder::Query, &SearchDecoder::Documents}) {
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
    }
    return std::move(request_);
  }

 private:
  absl::Status Collection() {
    const std::string& name = wire_->collection();
    if (name.empty()) return CheckDocumentCount(wire_->documents_size(), context_);
    if (wire_->documents_size() > 0)
      return InvalidField("collection", "and documents are both given; allowed: one of them");
    if (absl::Status status = CheckCollectionName(name); !status.ok()) return status;
    request_.collection = CollectionRef{.name = name};
    return CheckKeptOptions();
  }

  // What a collection was made with, or is about documents that are read, is not asked for.
  absl::Status CheckKeptOptions() const {
    const auto unset = [](const char* field, bool is_unset) {
      return is_unset ? absl::OkStatus()
                      : InvalidField(absl::StrCat("options.", field),
                                     "is set, and so is collection; allowed: one of them");
    };
    absl::Status status = unset("truncation", options_.truncation() == v1::TRUNCATION_UNSPECIFIED);
    status.Update(unset("window_overlap_tokens", options_.window_overlap_tokens() == 0));
    status.Update(unset("max_tokens", options_.max_tokens() == 0));
    status.Update(unset("document_prompt_name", options_.document_prompt_name().empty()));
    status.Update(unset("span_tokens", options_.span_tokens() == 0));
    status.Update(unset("language", options_.language().empty()));
    status.Update(AtMost("options.max_documents", options_.max_documents(), kMostKeptDocuments));
    status.Update(AtMost("options.max_spans", options_.max_spans(), kMostKeptSpans));
    return status;
  }

  static absl::Status AtMost(const char* field, uint32_t got, size_t most) {
    return got <= most ? absl::OkStatus()
                       : InvalidField(field, absl::StrCat("is ", got,
                                                          "; allowed with a "
                                                          "collection: 1 to ",
                                                          most));
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
    if (absl::Status status = CheckLanguage(options_.language()); !status.ok()) return status;
    request_.settings.language = options_.language();
    const auto cell_tokens = DecodeCellTokens(options_.span_tokens());
    if (!cell_tokens.ok()) return cell_tokens.status();
    if (cell_tokens->has_value()) request_.settings.cell_tokens = **cell_tokens;
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
    auto query =
        DecodePromptedText(wire_->mutable_query(), options, "query", options_.query_prompt_name(),
                           "query_prompt_name", {"query"}, context_);
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
    auto documents = DecodeDocuments(wire_->mutable_documents(), options,
                                     options_.document_prompt_name(), context_);
    if (!documents.ok()) return documents.status();
    request_.documents = *std::move(documents);
    return absl::OkStatus();
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

absl::StatusOr<SearchRequest> DecodeSearchRequest(v1::SearchRequest* request,
                                                  const DecodingContext& context) {
  return SearchDecoder(request, context).Run();
}

}  // namespace longspan
