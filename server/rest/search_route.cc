#include "server/rest/search_route.h"

#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "nlohmann/json.hpp"
#include "server/rest/encoding_json.h"
#include "server/rest/http_search.h"
#include "server/rest/ignored_fields.h"
#include "server/rest/json_documents.h"
#include "server/rest/json_message.h"
#include "server/rest/longspan_routes.h"
#include "server/rest/route_options.h"
#include "server/search/searching.h"
#include "server/wire/document_decoder.h"
#include "server/wire/search_decoder.h"
#include "server/wire/search_encoder.h"

namespace longspan {
namespace {

constexpr char kLimit[] = "limit";
// As JSON a number takes up to 20 characters instead of up to 10 bytes, and its name as many more;
// an id with control characters grows sixfold.
constexpr int64_t kJsonPerByte = 6;

// With six digits: a sum of standardised values has no more that mean anything.
double Short(double value) {
  double rounded = value;
  return absl::SimpleAtod(absl::StrCat(value), &rounded) ? rounded : value;
}

class SearchForm final : public HttpSearchForm {
 public:
  // `collection`: of the route's path, or empty for texts of the body.
  explicit SearchForm(std::string collection) : collection_(std::move(collection)) {}

  absl::StatusOr<SearchRequest> Read(const ServiceParts& parts, std::string body) override {
    ignored_ = IgnoredFields(parts.options->strict_json);
    auto json = ReadJson(body);
    if (!json.ok()) return json.status();
    body = {};
    v1::SearchRequest message;
    if (absl::Status status = ReadBody(*std::move(json), parts, &message); !status.ok())
      return status;
    if (!collection_.empty()) {
      if (!message.collection().empty()) {
        return InvalidField("collection",
                            "is given by the path and by the body; allowed: by the "
                            "path");
      }
      message.set_collection(collection_);
    }
    auto request = DecodeSearchRequest(&message, parts.decoding());
    if (!request.ok()) return request.status();
    ids_.reserve(message.documents_size());
    for (v1::SearchDocument& document : *message.mutable_documents())
      ids_.push_back(std::move(*document.mutable_id()));
    most_bytes_ = kJsonPerByte * MostSearchBytes(*request, ids_);
    return request;
  }

  int64_t MostAnswerBytes() const override { return most_bytes_; }

  absl::Status Translate(size_t text, const absl::Status& status) const override {
    return text == Searching::kQuery ? AtQuery(status)
                                     : AtDocument(status, text - 1, ids_[text - 1]);
  }

  HttpResponse Answer(const SearchAnswer& answer, const StageTimings& timings) override {
    nlohmann::ordered_json results = nlohmann::ordered_json::array();
    for (const FoundDocument& found : answer.documents) results.push_back(ResultOf(found));
    const nlohmann::ordered_json whole = {{"results", std::move(results)},
                                          {"queryTokens", answer.query_tokens},
                                          {"queryTruncated", answer.query_truncated},
                                          {"documentsTokens", answer.documents_tokens},
                                          {"documentsTruncated", answer.documents_truncated}};
    std::string body = whole.dump();
    body.pop_back();
    body.append(R"(,"timings":)");
    AppendTimingsJson(timings, &body);
    body.append("}\n");
    HttpResponse response{.content_type = "application/json", .body = std::move(body)};
    ignored_.AddHeader(&response);
    return response;
  }

  HttpResponse Refusal(const absl::Status& status) const override {
    return LongspanRefusal(status);
  }

 private:
  absl::Status ReadBody(JsonValue json, const ServiceParts& parts, v1::SearchRequest* message) {
    if (!json.is_object()) return ReadMessage(std::move(json), message, &ignored_);
    JsonValue documents = TakeMember(&json, "documents");
    const JsonValue limit = TakeMember(&json, kLimit);
    absl::Status status = ReadMessage(std::move(json), message, &ignored_);
    if (status.ok()) {
      status = ReadDocuments(std::move(documents), parts.options->max_texts_per_request,
                             message->mutable_documents(), &ignored_);
    }
    if (status.ok()) status = ReadLimit(limit, message);
    return status;
  }

  static absl::Status ReadLimit(const JsonValue& limit, v1::SearchRequest* message) {
    if (limit.is_null()) return absl::OkStatus();
    if (limit.kind() != JsonValue::Kind::kUnsigned || limit.unsigned_number() < 1 ||
        limit.unsigned_number() > UINT32_MAX) {
      return InvalidField(kLimit, absl::StrCat(limit.Got(), "; allowed: 1 to ", UINT32_MAX));
    }
    if (message->options().max_documents() != 0) {
      return InvalidField(kLimit, "and options.max_documents are both given; allowed: one of them");
    }
    message->mutable_options()->set_max_documents(static_cast<uint32_t>(limit.unsigned_number()));
    return absl::OkStatus();
  }

  static nlohmann::ordered_json PlaceOf(int64_t begin, int64_t end) {
    return {{"begin", begin}, {"end", end}};
  }

  static nlohmann::ordered_json TokenOf(const FoundToken& found) {
    const TokenPlace& asked = found.query;
    const TokenPlace& at = found.text;
    nlohmann::ordered_json one = PlaceOf(at.character_begin, at.character_end);
    one["bytes"] = PlaceOf(at.byte_begin, at.byte_end);
    if (asked.byte_end > asked.byte_begin) {
      one["query"] = PlaceOf(asked.character_begin, asked.character_end);
      one["query"]["bytes"] = PlaceOf(asked.byte_begin, asked.byte_end);
    }
    one["similarity"] = Short(found.similarity);
    one["weight"] = Short(found.weight);
    return one;
  }

  nlohmann::ordered_json ResultOf(const FoundDocument& found) const {
    nlohmann::ordered_json spans = nlohmann::ordered_json::array();
    for (const FoundSpan& span : found.spans) {
      nlohmann::ordered_json one = PlaceOf(span.characters.begin, span.characters.end);
      one.update({{"score", Short(span.score)},
                  {"similarity", Short(span.similarity)},
                  {"bytes", PlaceOf(span.bytes.begin, span.bytes.end)},
                  {"tokens", PlaceOf(span.tokens.begin, span.tokens.end)}});
      for (const FoundToken& found_token : span.best_tokens)
        one["bestTokens"].push_back(TokenOf(found_token));
      spans.push_back(std::move(one));
    }
    nlohmann::ordered_json used = nlohmann::ordered_json::array();
    for (const TextRange& range : found.used_text) used.push_back(PlaceOf(range.begin, range.end));
    return {{"index", found.index},
            {"id", ids_.empty() ? found.id : ids_[found.index]},
            {"score", Short(found.score)},
            {"similarity", Short(found.similarity)},
            {"bm25", Short(found.bm25)},
            {"spans", std::move(spans)},
            {"tokensTotal", found.tokens_total},
            {"tokensUsed", found.tokens_used},
            {"truncated", found.tokens_used < found.tokens_total},
            {"usedText", std::move(used)}};
  }

  const std::string collection_;
  IgnoredFields ignored_;
  std::vector<std::string> ids_;  // of the documents of the body
  int64_t most_bytes_ = 0;
};

}  // namespace

void AddSearchRoute(const ServiceParts* parts, HttpServer* http) {
  for (const char* path : {"/search", "/collections/{name}/search"}) {
    http->AddAsyncRoute("POST", path, ApiRoute(*parts),
                        [parts](std::shared_ptr<HttpExchange> exchange) {
                          auto form = std::make_unique<SearchForm>(exchange->request().segment);
                          HttpCall::Start(std::make_shared<HttpSearchCall>(
                              RpcMethod::kHttpSearch, std::move(form), std::move(exchange), parts));
                        });
  }
}

}  // namespace longspan
