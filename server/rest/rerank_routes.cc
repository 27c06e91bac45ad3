#include "server/rest/rerank_routes.h"

#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "nlohmann/json.hpp"
#include "server/rest/cohere_routes.h"
#include "server/rest/http_search.h"
#include "server/rest/json_writer.h"
#include "server/rest/route_options.h"
#include "server/rest/tei_routes.h"
#include "server/search/searching.h"
#include "server/tei/rerank_form.h"
#include "server/wire/document_decoder.h"
#include "server/wire/renamed_field.h"
#include "server/wire/search_decoder.h"

namespace longspan {
namespace {

constexpr char kTexts[] = "texts";
constexpr char kDocuments[] = "documents";
// {"index":4294967295,"relevance_score":0.123456,"document":{"text":}} and a comma.
constexpr int64_t kMostRankBytes = 80;
constexpr int64_t kMostOtherBytes = 512;
constexpr int64_t kMostEscape = 6;  // characters that one of a text may become: \u0001

class RerankForm : public HttpSearchForm {
 public:
  absl::StatusOr<SearchRequest> Read(const ServiceParts& parts, std::string body) override {
    ignored_ = IgnoredFields(parts.options->strict_json);
    auto json = ReadJson(body);
    if (!json.ok()) return json.status();
    body = {};
    auto fields = ReadFields(*std::move(json), Fields(), &ignored_);
    if (!fields.ok()) return fields.status();
    v1::SearchRequest message;
    message.set_query(fields->String("query"));
    if (absl::Status status = TakeTexts(*fields, parts, &message); !status.ok()) return status;
    if (absl::Status status = TakeOptions(*fields, &message); !status.ok()) return status;
    NoteTexts(*fields, message);
    auto request = DecodeSearchRequest(&message, parts.decoding());
    if (!request.ok()) return InWords(request.status());
    request->settings.ranking.max_passages = 0;
    return request;
  }

  int64_t MostAnswerBytes() const override { return most_bytes_; }

  absl::Status Translate(size_t text, const absl::Status& status) const override {
    return InWords(text == Searching::kQuery ? AtQuery(status) : AtDocument(status, text - 1, ""));
  }

 protected:
  virtual std::span<const JsonField> Fields() const = 0;
  // The field that brings the texts.
  virtual const char* TextsField(const JsonFields& /*fields*/) { return kDocuments; }
  // The field that says whether the texts come back.
  virtual const char* ReturnField() const = 0;

  double ScoreOf(const FoundDocument& found) const {
    return raw_scores_ ? found.score : Logistic(found.score);
  }
  bool returns_texts() const { return !texts_.empty(); }
  const std::string& text(size_t index) const { return texts_[index]; }
  HttpResponse Whole(std::string body, const SearchAnswer& answer) const {
    HttpResponse response{.content_type = "application/json", .body = std::move(body)};
    if (answer.documents_truncated > 0)
      response.headers["X-Truncated-Texts"] = absl::StrCat(answer.documents_truncated);
    ignored_.AddHeader(&response);
    return response;
  }

 private:
  // Strings, or objects with a text, as Cohere's first version and Jina have them.
  absl::Status TakeTexts(JsonFields& fields, const ServiceParts& parts,
                         v1::SearchRequest* message) {
    texts_field_ = TextsField(fields);
    JsonValue* list = fields.Find(texts_field_);
    if (list == nullptr)
      return InvalidField(texts_field_, "is missing; allowed: an array of texts");
    if (list->kind() == JsonValue::Kind::kIds)
      return InvalidField(texts_field_, "is an array of numbers; allowed: an array of texts");
    const int64_t most = parts.options->max_texts_per_request;
    if (static_cast<int64_t>(list->size()) > most) {
      return WithReason(InvalidField(texts_field_, absl::StrCat("has ", list->size(),
                                                                " texts; allowed: 1 to ", most)),
                        kReasonMaxTextsPerRequest);
    }
    for (size_t i = 0; i < list->elements().size(); ++i) {
      JsonValue& element = list->elements()[i];
      std::string* text = element.is_string() ? &element.string() : TextOf(&element);
      if (text == nullptr) {
        return InvalidField(
            absl::StrCat(texts_field_, "[", i, "]"),
            absl::StrCat(element.Got(), "; allowed: a text, or an object with one"));
      }
      message->add_documents()->mutable_text()->swap(*text);
    }
    return absl::OkStatus();
  }
  static std::string* TextOf(JsonValue* object) {
    for (JsonValue::Member& member : object->members()) {
      if (member.first == "text" && member.second.is_string()) return &member.second.string();
    }
    return nullptr;
  }

  absl::Status TakeOptions(const JsonFields& fields, v1::SearchRequest* message) {
    raw_scores_ = fields.Bool("raw_scores", false);
    v1::SearchOptions& options = *message->mutable_options();
    const uint32_t most = fields.Count("max_tokens_per_doc", 0);
    const bool left = absl::AsciiStrToLower(fields.String("truncation_direction")) == "left";
    if (fields.Bool("truncate", false) || most > 0) {
      options.set_truncation(left ? v1::TRUNCATION_TAIL : v1::TRUNCATION_HEAD);
      options.set_query_truncation(options.truncation());
    }
    options.set_max_tokens(most);
    const uint32_t all = static_cast<uint32_t>(std::max(1, message->documents_size()));
    const uint32_t top = fields.Count("top_n", all);
    if (top == 0) return InvalidField("top_n", absl::StrCat("is 0; allowed: 1 to ", UINT32_MAX));
    options.set_max_documents(std::min(top, all));
    return absl::OkStatus();
  }

  void NoteTexts(const JsonFields& fields, const v1::SearchRequest& message) {
    most_bytes_ = kMostOtherBytes + message.documents_size() * kMostRankBytes;
    if (!fields.Bool(ReturnField(), false)) return;
    texts_.reserve(message.documents_size());
    for (const v1::SearchDocument& document : message.documents()) {
      texts_.push_back(document.text());
      most_bytes_ += kMostEscape * static_cast<int64_t>(document.text().size());
    }
  }

  absl::Status InWords(const absl::Status& status) const {
    return RenamedField(
        status,
        [this](std::string_view field) {
          constexpr std::string_view kOptions = "options.", kText = ".text";
          if (field == "options.max_tokens") return std::string("max_tokens_per_doc");
          if (field.starts_with(kOptions)) return std::string(field.substr(kOptions.size()));
          if (!field.starts_with(kDocuments)) return std::string();
          std::string name = absl::StrCat(
              texts_field_, std::string(field.substr(std::string_view(kDocuments).size())));
          if (name.ends_with(kText)) name.resize(name.size() - kText.size());
          return name;
        },
        "(set truncate)");
  }

  IgnoredFields ignored_;
  std::string texts_field_ = kDocuments;
  bool raw_scores_ = false;
  std::vector<std::string> texts_;  // where they come back
  int64_t most_bytes_ = 0;
};

// Cohere's and Jina's.
class ResultsForm : public RerankForm {
 public:
  HttpResponse Answer(const SearchAnswer& answer, const StageTimings& /*timings*/) override {
    return Whole(ResultsOf(answer), answer);
  }
  HttpResponse Refusal(const absl::Status& status) const override { return CohereRefusal(status); }
  absl::StatusOr<SearchRequest> Read(const ServiceParts& parts, std::string body) override {
    model_ = parts.model->name;
    return RerankForm::Read(parts, std::move(body));
  }

 protected:
  std::span<const JsonField> Fields() const override { return CohereRerankFields(); }
  const char* ReturnField() const override { return "return_documents"; }

  std::string ResultsOf(const SearchAnswer& answer) const {
    std::string body = R"({"object":"list","model":)";
    AppendJsonString(model_, &body);
    body.append(R"(,"results":[)");
    const char* comma = "";
    for (const FoundDocument& found : answer.documents) {
      absl::StrAppend(&body, std::exchange(comma, ","), R"({"index":)", found.index,
                      R"(,"relevance_score":)", ScoreOf(found));
      if (returns_texts()) {
        body.append(R"(,"document":{"text":)");
        AppendJsonString(text(found.index), &body);
        body.push_back('}');
      }
      body.push_back('}');
    }
    const int64_t tokens = answer.query_tokens + answer.documents_tokens;
    absl::StrAppend(&body, R"(],"usage":{"total_tokens":)", tokens, R"(,"prompt_tokens":)", tokens,
                    R"(},"meta":{"billed_units":{"input_tokens":)", tokens, "}}}\n");
    return body;
  }

 private:
  std::string model_;
};

// TEI's, and the other form where the body has documents instead of texts.
class TeiRerankForm final : public ResultsForm {
 public:
  HttpResponse Answer(const SearchAnswer& answer, const StageTimings& timings) override {
    if (!is_tei_) return ResultsForm::Answer(answer, timings);
    std::string body = "[";
    const char* comma = "";
    for (const FoundDocument& found : answer.documents) {
      absl::StrAppend(&body, std::exchange(comma, ","), R"({"index":)", found.index);
      if (returns_texts()) {
        body.append(R"(,"text":)");
        AppendJsonString(text(found.index), &body);
      }
      absl::StrAppend(&body, R"(,"score":)", ScoreOf(found), "}");
    }
    body.append("]\n");
    return Whole(std::move(body), answer);
  }
  HttpResponse Refusal(const absl::Status& status) const override { return TeiRefusal(status); }

 private:
  std::span<const JsonField> Fields() const override { return TeiRerankFields(); }
  const char* TextsField(const JsonFields& fields) override {
    is_tei_ = !fields.Has(kDocuments);
    return is_tei_ ? kTexts : kDocuments;
  }
  const char* ReturnField() const override {
    return is_tei_ ? "return_text" : ResultsForm::ReturnField();
  }

  bool is_tei_ = true;
};

const JsonField kQueryField = {
    .name = "query", .type = JsonType::kString, .required = true, .description = "The question."};
const JsonField kTruncateField = {
    .name = "truncate",
    .type = JsonType::kBool,
    .description = "Whether a text that is too long is cut. Else it is refused."};
const JsonField kRawScoresField = {
    .name = "raw_scores",
    .type = JsonType::kBool,
    .description = "Scores as they are, instead of their logistic function."};
const JsonField kDocumentsField = {
    .name = kDocuments, .type = JsonType::kList, .description = "Texts, or objects with a text."};
const JsonField kTopField = {.name = "top_n",
                             .type = JsonType::kCount,
                             .description = "Most texts of the answer. Default: all."};
const JsonField kReturnDocumentsField = {
    .name = "return_documents",
    .type = JsonType::kBool,
    .description = "Whether the answer holds the texts of documents."};
const JsonField kTokensField = {
    .name = "max_tokens_per_doc",
    .type = JsonType::kCount,
    .description = "Tokens after which each text is cut. Default: none is cut."};
const JsonField kModelField = {
    .name = "model", .type = JsonType::kString, .description = "Not compared."};

template <typename Form>
void AddRoute(const char* path, const ServiceParts* parts, HttpServer* http) {
  http->AddAsyncRoute(
      "POST", path, ApiRoute(*parts), [parts](std::shared_ptr<HttpExchange> exchange) {
        HttpCall::Start(std::make_shared<HttpSearchCall>(
            RpcMethod::kHttpRerank, std::make_unique<Form>(), std::move(exchange), parts));
      });
}

}  // namespace

std::span<const JsonField> TeiRerankFields() {
  static const std::vector<JsonField> fields = {
      kQueryField,
      {.name = kTexts, .type = JsonType::kList, .description = "The texts."},
      kTruncateField,
      {.name = "truncation_direction",
       .type = JsonType::kChoice,
       .description = "Where a text is cut.",
       .choices = {"right", "left", "Right", "Left"}},
      kRawScoresField,
      {.name = "return_text",
       .type = JsonType::kBool,
       .description = "Whether the answer holds the texts."},
      kDocumentsField,
      kTopField,
      kReturnDocumentsField,
      kTokensField,
      kModelField};
  return fields;
}

std::span<const JsonField> CohereRerankFields() {
  static const std::vector<JsonField> fields = {
      kQueryField,  kDocumentsField, kTopField,       kReturnDocumentsField,
      kTokensField, kTruncateField,  kRawScoresField, kModelField};
  return fields;
}

void AddRerankRoutes(const ServiceParts* parts, HttpServer* http) {
  AddRoute<TeiRerankForm>("/rerank", parts, http);
  AddRoute<ResultsForm>("/v1/rerank", parts, http);
  AddRoute<ResultsForm>("/v2/rerank", parts, http);
}

}  // namespace longspan
