#include "server/rest/openapi.h"

#include <google/protobuf/descriptor.h>
#include <longspan/v1/encoder.pb.h>

#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/rest/cohere_routes.h"
#include "server/rest/json_fields.h"
#include "server/rest/openai_routes.h"
#include "server/rest/rerank_routes.h"
#include "server/rest/route_options.h"
#include "server/rest/tei_routes.h"
#include "server/wire/put_decoder.h"

namespace longspan {
namespace {

using Json = nlohmann::ordered_json;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr char kLines[] = "application/x-ndjson";
constexpr char kJson[] = "application/json";
constexpr char kHtml[] = "text/html";

Json Ref(std::string_view schema) {
  return {{"$ref", absl::StrCat("#/components/schemas/", std::string(schema))}};
}
Json ListOf(Json element) { return {{"type", "array"}, {"items", std::move(element)}}; }
Json Number() { return {{"type", "number"}}; }
Json Text() { return {{"type", "string"}}; }
Json WholeNumber(uint64_t most) { return {{"type", "integer"}, {"minimum", 0}, {"maximum", most}}; }
// A field that is null counts as one that is not there.
Json OrNull(Json schema) {
  return {{"anyOf", Json::array({std::move(schema), {{"type", "null"}}})}};
}

// Most inputs of a request, which the schemas tell where the routes check it.
Json Some(Json element, int64_t most) {
  Json list = ListOf(std::move(element));
  list["minItems"] = 1;
  list["maxItems"] = most;
  return list;
}

Json SchemaOf(const JsonField& field, int64_t most) {
  Json string = {{"type", "string"}, {"minLength", 1}};
  Json ids = ListOf(WholeNumber(UINT32_MAX));
  ids["minItems"] = 1;
  switch (field.type) {
    case JsonType::kString:
      return Text();
    case JsonType::kBool:
      return {{"type", "boolean"}};
    case JsonType::kCount: {
      Json count = WholeNumber(UINT32_MAX);
      count["minimum"] = 1;
      return count;
    }
    case JsonType::kChoice:
      return {{"type", "string"}, {"enum", field.choices}};
    case JsonType::kTexts:
      return {{"anyOf", Json::array({string, Some(string, most)})}};
    case JsonType::kInputs:
      return {{"anyOf", Json::array({string, Some(string, most), ids, Some(ids, most)})}};
    case JsonType::kIds:
      return {{"anyOf", Json::array({ids, Some(ids, most)})}};
    case JsonType::kList:
      return ListOf(Text());
    case JsonType::kAnything:
      return Json::object();
  }
  return Json::object();
}

Json ObjectOf(std::span<const JsonField> table, int64_t most) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const JsonField& field : table) {
    Json schema = SchemaOf(field, most);
    if (field.required) {
      required.push_back(field.name);
    } else if (field.type != JsonType::kAnything) {
      schema = OrNull(std::move(schema));
    }
    schema["description"] = field.description;
    properties[std::string(field.name)] = std::move(schema);
  }
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", required}};
}

// The messages of longspan.v1 as schemas, with all messages in them.
class MessageSchemas {
 public:
  explicit MessageSchemas(Json* schemas) : schemas_(*schemas) {}

  void Add(const Descriptor& type) {
    if (!added_.insert(&type).second) return;
    Json properties = Json::object();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      Json schema = Element(field);
      if (field.is_repeated()) schema = ListOf(std::move(schema));
      properties[field.json_name()] = OrNull(std::move(schema));
    }
    schemas_[type.name()] = {{"type", "object"}, {"properties", std::move(properties)}};
  }

 private:
  Json Element(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        // google.rpc.Status, whose details are messages of any type.
        if (field.message_type()->file()->package() != "longspan.v1") return {{"type", "object"}};
        Add(*field.message_type());
        return Ref(field.message_type()->name());
      case FieldDescriptor::CPPTYPE_ENUM:
        return EnumOf(*field.enum_type());
      case FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_UINT32:
        return NumberOrDigits(WholeNumber(UINT32_MAX));
      case FieldDescriptor::CPPTYPE_UINT64:
        return NumberOrDigits({{"type", "integer"}, {"minimum", 0}});
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Number();
      default:
        return Text();
    }
  }
  // protobuf reads both, and writes numbers of 64 bits as strings.
  static Json NumberOrDigits(Json number) {
    return {{"anyOf",
             Json::array({std::move(number), {{"type", "string"}, {"pattern", "^[0-9]{1,19}$"}}})}};
  }
  static Json EnumOf(const google::protobuf::EnumDescriptor& type) {
    Json names = Json::array();
    for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
    return {{"anyOf", Json::array({{{"type", "string"}, {"enum", std::move(names)}},
                                   WholeNumber(static_cast<uint64_t>(type.value_count() - 1))})}};
  }

  Json& schemas_;
  std::set<const Descriptor*> added_;
};

// How the answers of a group of routes look when they fail.
enum class Errors { kOpenAi, kCohere, kTei, kLongspan };

Json ErrorSchema(Errors errors) {
  const Json message = {{"message", Text()}};
  switch (errors) {
    case Errors::kTei:
      return {{"type", "object"},
              {"properties", {{"error", {{"type", {"string", "object"}}}}, {"error_type", Text()}}},
              {"required", {"error"}}};
    case Errors::kCohere:
      return {{"type", "object"}, {"properties", {{"message", Text()}}}};
    case Errors::kOpenAi:
    case Errors::kLongspan:
      return {
          {"type", "object"},
          {"properties",
           {{"error", {{"type", "object"}, {"properties", message}, {"required", {"message"}}}}}},
          {"required", {"error"}}};
  }
  return Json::object();
}

const char* ErrorName(Errors errors) {
  switch (errors) {
    case Errors::kOpenAi:
      return "OpenAiError";
    case Errors::kCohere:
      return "CohereError";
    case Errors::kTei:
      return "TeiError";
    case Errors::kLongspan:
      return "LongspanError";
  }
  return "";
}

struct Operation {
  const char* method = "post";
  const char* path = "";
  const char* tag = "";
  const char* summary = "";
  Errors errors = Errors::kLongspan;
  Json request;                              // schema; null = no body
  Json answer;                               // schema
  std::vector<const char*> types = {kJson};  // of the answer
  const char* request_type = kJson;
};

// Codes that any route with a body may answer with, beside 200.
constexpr std::pair<const char*, const char*> kFailures[] = {
    {"400", "The request is not as it must be; the message names the field."},
    {"401", "A key is missing or wrong."},
    {"408", "The body did not come in time."},
    {"413", "The request, or a text of it, is too large."},
    {"422", "The request is not as it must be; routes of text-embeddings-inference."},
    {"429", "The server is full; Retry-After says when to try again."},
    {"500", "The server failed."},
    {"501", "The model does not have what the route asks for."},
    {"503", "The server is starting, draining or out of memory; see Retry-After."},
    {"504", "The deadline passed."}};

bool NamesACollection(const Operation& operation) {
  return std::string_view(operation.path).find("{name}") != std::string_view::npos;
}

Json Answers(const Operation& operation) {
  Json content = Json::object();
  for (const char* type : operation.types) {
    // A schema of a line says nothing of the whole.
    content[type] = type == kJson ? Json{{"schema", operation.answer}} : Json::object();
  }
  Json answers = {{"200", {{"description", "Done."}, {"content", std::move(content)}}}};
  std::map<std::string, std::string> failures(std::begin(kFailures), std::end(kFailures));
  if (NamesACollection(operation)) failures["404"] = "The caller has no such collection.";
  for (const auto& [code, meaning] : failures) {
    // What the port refuses before a route has it is a line of text to callers that name no JSON.
    answers[code] = {{"description", meaning},
                     {"content",
                      {{kJson, {{"schema", Ref(ErrorName(operation.errors))}}},
                       {"text/plain", {{"schema", Text()}}}}}};
  }
  return answers;
}

Json Describe(const Operation& operation) {
  Json described = {
      {"tags", {operation.tag}}, {"summary", operation.summary}, {"responses", Answers(operation)}};
  if (!operation.request.is_null()) {
    described["requestBody"] = {
        {"required", operation.request_type != kLines},  // there may be no lines
        {"content",
         {{operation.request_type, operation.request_type == kLines
                                       ? Json::object()
                                       : Json{{"schema", operation.request}}}}}};
    described["parameters"] = {
        {{"name", "x-request-timeout"},
         {"in", "header"},
         {"required", false},
         {"description", "Seconds that the caller waits. Default: the server's."},
         {"schema", {{"type", "number"}, {"exclusiveMinimum", 0}}}}};
  }
  if (NamesACollection(operation)) {
    described["parameters"].push_back(
        {{"name", "name"},
         {"in", "path"},
         {"required", true},
         {"description", "Name of a collection."},
         {"schema", {{"type", "string"}, {"pattern", "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"}}}});
  }
  return described;
}

Json ObjectWith(Json properties) {
  Json required = Json::array();
  for (const auto& [name, unused] : properties.items()) required.push_back(name);
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", required}};
}

Json EmbeddingsAnswer() {
  const Json item = {
      {"type", "object"},
      {"properties",
       {{"object", {{"const", "embedding"}}},
        {"index", {{"type", "integer"}}},
        {"embedding", {{"anyOf", Json::array({ListOf(Number()), Text()})}}},
        {"truncated", {{"type", "boolean"}, {"description", "The text was cut."}}},
        {"scale", {{"type", "number"}, {"description", "Of int8: value = int8 * scale."}}}}},
      {"required", {"object", "index", "embedding"}}};
  return ObjectWith({{"object", {{"const", "list"}}},
                     {"data", ListOf(item)},
                     {"model", Text()},
                     {"usage", ObjectWith({{"prompt_tokens", {{"type", "integer"}}},
                                           {"total_tokens", {{"type", "integer"}}}})}});
}

Json TokenAnswer() {
  const Json place = {{"type", {"integer", "null"}}};
  return ObjectWith({{"id", {{"type", "integer"}}},
                     {"text", Text()},
                     {"special", {{"type", "boolean"}}},
                     {"start", place},
                     {"stop", place}});
}

Json RerankAnswer() { return {{"type", "object"}, {"required", {"results", "usage"}}}; }

// As a SearchRequest, with what search_route.h adds to it.
Json SearchBody(int64_t most) {
  const Json document = {{"anyOf", Json::array({Text(), Ref("SearchDocument")})}};
  return {{"type", "object"},
          {"properties",
           {{"query", Text()},
            {"documents", Some(document, most)},
            {"limit", OrNull(WholeNumber(UINT32_MAX))},
            {"options", OrNull(Ref("SearchOptions"))}}},
          {"required", {"query", "documents"}}};
}

// As a SearchRequest without documents.
Json KeptSearchBody() {
  return {{"type", "object"},
          {"properties",
           {{"query", Text()},
            {"limit", OrNull(WholeNumber(UINT32_MAX))},
            {"options", OrNull(Ref("SearchOptions"))}}},
          {"required", {"query"}}};
}

// As a PutDocumentsRequest, whose collection is in the path.
Json PutBody(int64_t most) {
  return {
      {"type", "object"},
      {"properties",
       {{"documents", Some(Ref("SearchDocument"), most)}, {"options", OrNull(Ref("PutOptions"))}}},
      {"required", {"documents"}}};
}

Json SearchAnswerSchema() {
  const Json count = {{"type", "integer"}};
  const Json place = ObjectWith({{"begin", count}, {"end", count}});
  const Json best_token = {{"type", "object"},
                           {"properties",
                            {{"begin", count},
                             {"end", count},
                             {"bytes", place},
                             {"query", place},
                             {"similarity", Number()},
                             {"weight", Number()}}},
                           {"required", {"begin", "end", "bytes", "similarity", "weight"}}};
  const Json span = {{"type", "object"},
                     {"properties",
                      {{"begin", count},
                       {"end", count},
                       {"score", Number()},
                       {"similarity", Number()},
                       {"bestTokens", ListOf(best_token)}}},
                     {"required", {"begin", "end", "score", "similarity"}}};
  const Json result = {{"type", "object"},
                       {"properties",
                        {{"index", count},
                         {"id", Text()},
                         {"score", Number()},
                         {"similarity", Number()},
                         {"bm25", Number()},
                         {"spans", ListOf(span)}}},
                       {"required", {"index", "id", "score", "spans"}}};
  return {{"type", "object"},
          {"properties", {{"results", ListOf(result)}}},
          {"required", {"results", "queryTokens", "documentsTokens", "timings"}}};
}

Json WordAnswer() { return ObjectWith({{"index", {{"type", "integer"}}}, {"value", Number()}}); }

std::vector<Operation> Operations(int64_t most) {
  const Json vectors = ListOf(ListOf(Number()));
  return {
      {.path = "/v1/embeddings",
       .tag = "OpenAI",
       .summary = "A vector for each text; OpenAI's API with Jina's additions.",
       .errors = Errors::kOpenAi,
       .request = ObjectOf(OpenAiFields(), most),
       .answer = EmbeddingsAnswer()},
      {.method = "get",
       .path = "/v1/models",
       .tag = "OpenAI",
       .summary = "The served model.",
       .errors = Errors::kOpenAi,
       .answer = ObjectWith({{"object", {{"const", "list"}}},
                             {"data", ListOf({{"type", "object"}, {"required", {"id"}}})}})},
      {.path = "/v2/embed",
       .tag = "Cohere",
       .summary = "Vectors for texts; Cohere's API.",
       .errors = Errors::kCohere,
       .request = ObjectOf(CohereFields(), most),
       .answer = {{"type", "object"}, {"required", {"embeddings", "texts", "meta"}}}},
      {.path = "/v1/embed",
       .tag = "Cohere",
       .summary = "The same, as the first version of that API answers.",
       .errors = Errors::kCohere,
       .request = ObjectOf(CohereFields(), most),
       .answer = {{"type", "object"}, {"required", {"embeddings", "texts", "meta"}}}},
      {.path = "/encode",
       .tag = "longspan",
       .summary = "Encode of longspan.v1: texts into vectors, with spans, truncation policies, "
                  "global attention and vector formats.",
       .request = Ref("EncodeRequest"),
       .answer = Ref("EncodeResponse")},
      {.path = "/encode_tokens",
       .tag = "longspan",
       .summary = "EncodeTokens of longspan.v1: a vector for each token of one text.",
       .request = Ref("EncodeTokensRequest"),
       .answer = Ref("EncodeTokensResponse"),
       .types = {kJson, kLines}},
      {.path = "/encode_stream",
       .tag = "longspan",
       .summary = "EncodeStream of longspan.v1: a line in and a line out for each text.",
       .request = Ref("EncodeStreamRequest"),
       .answer = Ref("EncodeStreamResponse"),
       .types = {kLines},
       .request_type = kLines},
      {.path = "/search",
       .tag = "longspan",
       .summary = "Search of longspan.v1: the documents that answer a question best, and where in "
                  "them.",
       .request = SearchBody(most),
       .answer = SearchAnswerSchema()},
      {.method = "put",
       .path = "/collections/{name}/documents",
       .tag = "longspan",
       .summary = "PutDocuments of longspan.v1: documents read and kept, to be searched.",
       .request = PutBody(most),
       .answer = Ref("PutDocumentsResponse")},
      {.path = "/collections/{name}/search",
       .tag = "longspan",
       .summary = "As /search, in kept documents.",
       .request = KeptSearchBody(),
       .answer = SearchAnswerSchema()},
      {.path = "/collections/{name}/delete",
       .tag = "longspan",
       .summary = "DeleteDocuments of longspan.v1: some documents forgotten.",
       .request = {{"type", "object"},
                   {"properties", {{"ids", Some(Text(), kMaxDeletedIds)}}},
                   {"required", {"ids"}}},
       .answer = Ref("DeleteDocumentsResponse")},
      {.method = "delete",
       .path = "/collections/{name}",
       .tag = "longspan",
       .summary = "DeleteDocuments of longspan.v1: a collection forgotten with all its documents.",
       .answer = Ref("DeleteDocumentsResponse")},
      {.method = "get",
       .path = "/collections",
       .tag = "longspan",
       .summary = "ListCollections of longspan.v1: the caller's collections.",
       .answer = Ref("ListCollectionsResponse")},
      {.path = "/v1/rerank",
       .tag = "Cohere",
       .summary = "Texts by how well they answer a question; Cohere's and Jina's API.",
       .errors = Errors::kCohere,
       .request = ObjectOf(CohereRerankFields(), most),
       .answer = RerankAnswer()},
      {.path = "/v2/rerank",
       .tag = "Cohere",
       .summary = "As /v1/rerank.",
       .errors = Errors::kCohere,
       .request = ObjectOf(CohereRerankFields(), most),
       .answer = RerankAnswer()},
      {.method = "get",
       .path = "/model",
       .tag = "longspan",
       .summary = "GetModelInfo of longspan.v1: the model, its attention, and all limits.",
       .answer = Ref("GetModelInfoResponse")},
      {.path = "/embed",
       .tag = "text-embeddings-inference",
       .summary = "A vector for each text.",
       .errors = Errors::kTei,
       .request = ObjectOf(TeiEmbedFields(), most),
       .answer = vectors},
      {.path = "/",
       .tag = "text-embeddings-inference",
       .summary = "As /embed.",
       .errors = Errors::kTei,
       .request = ObjectOf(TeiEmbedFields(), most),
       .answer = vectors},
      {.path = "/embed_all",
       .tag = "text-embeddings-inference",
       .summary = "A vector for each token of each text.",
       .errors = Errors::kTei,
       .request = ObjectOf(TeiEmbedAllFields(), most),
       .answer = ListOf(vectors)},
      {.path = "/rerank",
       .tag = "text-embeddings-inference",
       .summary = "Texts by how well they answer a question. With documents instead of texts as "
                  "/v1/rerank.",
       .errors = Errors::kTei,
       .request = ObjectOf(TeiRerankFields(), most),
       .answer = {{"anyOf",
                   Json::array({ListOf({{"type", "object"}, {"required", {"index", "score"}}}),
                                RerankAnswer()})}}},
      {.path = "/embed_sparse",
       .tag = "text-embeddings-inference",
       .summary = "The words of each text with their weights; the model does not run.",
       .errors = Errors::kTei,
       .request = ObjectOf(TeiEmbedSparseFields(), most),
       .answer = ListOf(ListOf(WordAnswer()))},
      {.path = "/tokenize",
       .tag = "text-embeddings-inference",
       .summary = "The tokens of each text, with their places in characters.",
       .errors = Errors::kTei,
       .request = ObjectOf(TeiTokenizeFields(), most),
       .answer = ListOf(ListOf(TokenAnswer()))},
      {.path = "/decode",
       .tag = "text-embeddings-inference",
       .summary = "The texts of token ids.",
       .errors = Errors::kTei,
       .request = ObjectOf(TeiDecodeFields(), most),
       .answer = ListOf(Text())},
      {.method = "get",
       .path = "/info",
       .tag = "text-embeddings-inference",
       .summary = "The model and the server's limits.",
       .errors = Errors::kTei,
       .answer = {{"type", "object"}, {"required", {"model_id", "model_dtype", "version"}}}},
  };
}

Json Document(const ServerOptions& options) {
  Json schemas = Json::object();
  MessageSchemas messages(&schemas);
  messages.Add(*v1::EncodeRequest::descriptor());
  messages.Add(*v1::EncodeResponse::descriptor());
  messages.Add(*v1::EncodeTokensRequest::descriptor());
  messages.Add(*v1::EncodeTokensResponse::descriptor());
  messages.Add(*v1::EncodeStreamRequest::descriptor());
  messages.Add(*v1::EncodeStreamResponse::descriptor());
  messages.Add(*v1::SearchRequest::descriptor());
  for (const Descriptor* type :
       {v1::PutDocumentsRequest::descriptor(), v1::PutDocumentsResponse::descriptor(),
        v1::DeleteDocumentsResponse::descriptor(), v1::ListCollectionsResponse::descriptor()})
    messages.Add(*type);
  messages.Add(*v1::GetModelInfoResponse::descriptor());
  for (const Errors errors : {Errors::kOpenAi, Errors::kCohere, Errors::kTei, Errors::kLongspan})
    schemas[ErrorName(errors)] = ErrorSchema(errors);
  Json paths = Json::object();
  for (const Operation& operation : Operations(options.max_texts_per_request))
    paths[operation.path][operation.method] = Describe(operation);
  if (options.page) {
    paths["/"]["get"] =
        Describe({.tag = "longspan", .summary = "A page for people.", .types = {kHtml}});
    if (!options.http_page_keys) paths["/"]["get"]["security"] = Json::array();  // open to all
  }
  Json document = {{"openapi", "3.1.0"},
                   {"info",
                    {{"title", "longspan"},
                     {"version", LONGSPAN_VERSION},
                     {"description", "Long text into vectors."}}},
                   {"paths", std::move(paths)},
                   {"components", {{"schemas", std::move(schemas)}}}};
  if (!options.auth_keys_file.empty()) {
    document["components"]["securitySchemes"]["key"] = {{"type", "http"}, {"scheme", "bearer"}};
    document["security"] = Json::array({{{"key", Json::array()}}});
  }
  return document;
}

}  // namespace

std::string OpenApiDocument(const ServerOptions& options) {
  return Document(options).dump() + "\n";
}

void AddOpenApiRoutes(const ServiceParts* parts, HttpServer* http) {
  RouteOptions options = ApiRoute(*parts);
  options.needs_key = false;  // it tells nothing that the source does not
  const auto document = std::make_shared<const std::string>(OpenApiDocument(*parts->options));
  http->AddRoute(
      "GET", "/openapi.json",
      [document](const HttpRequest&) {
        return HttpResponse{.content_type = kJson, .body = *document};
      },
      options);
}

}  // namespace longspan
