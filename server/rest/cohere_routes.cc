#include "server/rest/cohere_routes.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "nlohmann/json.hpp"
#include "server/rest/batch_call.h"
#include "server/rest/embedding_format.h"
#include "server/rest/json_work.h"
#include "server/rest/json_writer.h"
#include "server/rest/route_input.h"
#include "server/rest/route_options.h"
#include "server/wire/input_decoder.h"
#include "server/wire/renamed_field.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

constexpr char kTexts[] = "texts";
constexpr char kTypes[] = "embedding_types";
constexpr std::string_view kTypeNames[] = {"float", "int8", "uint8", "binary", "ubinary", "base64"};

std::string CohereName(std::string_view field) {
  if (field == "options.dimensions") return "output_dimension";
  return PlainInputName(field);
}

absl::Status InCohereWords(const absl::Status& status) {
  return RenamedField(status, CohereName, "(set truncate)");
}

// The prompts that an input type stands for, best first.
std::vector<std::string> PromptsOf(const std::string& input_type) {
  if (input_type == "search_query") return {"search_query", "query"};
  if (input_type == "search_document") return {"search_document", "document", "passage"};
  return {input_type};
}

std::vector<float> FloatsOf(const grpc::ByteBuffer& piece) {
  std::string bytes;
  AppendBuffer(piece, &bytes);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

// The pieces are vectors as they lie in memory: one answer may have them in several types.
class EmbedRequest final : public BatchRequest {
 public:
  explicit EmbedRequest(bool is_v2) : is_v2_(is_v2) {}

  absl::StatusOr<std::vector<std::shared_ptr<ItemWork>>> Read(const ServiceParts& parts,
                                                              std::string body) override {
    ignored_ = IgnoredFields(parts.options->strict_json);
    auto json = ReadJson(body);
    if (!json.ok()) return json.status();
    body = {};
    auto fields = ReadFields(*std::move(json), CohereFields(), &ignored_);
    if (!fields.ok()) return fields.status();
    auto inputs = TakeInputs(fields->Find(kTexts), kTexts, parts.options->max_texts_per_request);
    if (!inputs.ok()) return inputs.status();
    if (absl::Status status = ReadTypes(fields->Find(kTypes)); !status.ok()) return status;
    auto options = ReadOptions(*fields, *parts.model);
    if (!options.ok()) return options.status();
    return MakeWork(parts, *std::move(inputs), *options);
  }

  HttpResponse Join(const std::vector<grpc::ByteBuffer>& pieces,
                    const BatchTotals& totals) override {
    std::string body = R"({"response_type":)";
    const bool by_type = is_v2_ || !types_.empty();
    AppendJsonString(by_type ? "embeddings_by_type" : "embeddings_floats", &body);
    body.append(R"(,"embeddings":)");
    if (by_type) {
      AppendByType(pieces, &body);
    } else {
      AppendList(pieces, Embedding::kFloats, &body);
    }
    body.append(R"(,"texts":[)");
    for (size_t i = 0; i < texts_.size(); ++i) {
      if (i > 0) body.push_back(',');
      AppendJsonString(texts_[i], &body);
    }
    nlohmann::ordered_json meta = {{"api_version", {{"version", is_v2_ ? "2" : "1"}}},
                                   {"billed_units", {{"input_tokens", totals.tokens}}}};
    if (const auto warnings = Warnings(); !warnings.empty()) meta["warnings"] = warnings;
    absl::StrAppend(&body, R"(],"meta":)", meta.dump(), "}\n");
    HttpResponse response{.content_type = "application/json", .body = std::move(body)};
    ignored_.AddHeader(&response);
    return response;
  }

  HttpResponse Refusal(const absl::Status& status) const override { return CohereRefusal(status); }

 private:
  absl::Status ReadTypes(const JsonValue* value) {
    if (value == nullptr) return absl::OkStatus();
    if (value->kind() == JsonValue::Kind::kIds) {
      return InvalidField(absl::StrCat(kTypes, "[0]"),
                          absl::StrCat("is a number; allowed: ", QuotedNames(kTypeNames)));
    }
    for (size_t i = 0; i < value->elements().size(); ++i) {
      const JsonValue& type = value->elements()[i];
      const bool known = type.is_string() && std::find(std::begin(kTypeNames), std::end(kTypeNames),
                                                       type.string()) != std::end(kTypeNames);
      if (!known) {
        return InvalidField(absl::StrCat(kTypes, "[", i, "]"),
                            absl::StrCat(type.Got(), "; allowed: ", QuotedNames(kTypeNames)));
      }
      if (std::find(types_.begin(), types_.end(), type.string()) == types_.end())
        types_.push_back(type.string());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<v1::EncodeOptions> ReadOptions(const JsonFields& fields, const ModelInfo& model) {
    v1::EncodeOptions options;
    const std::string truncate = fields.String("truncate", "NONE");
    options.set_truncation(truncate == "END"     ? v1::TRUNCATION_HEAD
                           : truncate == "START" ? v1::TRUNCATION_TAIL
                                                 : v1::TRUNCATION_REJECT);
    const auto most = static_cast<uint32_t>(model.output_dimensions);
    const uint32_t dimensions = fields.Count("output_dimension", most);
    if (dimensions == 0 || dimensions > most) {
      return InvalidField("output_dimension",
                          absl::StrCat("is ", dimensions, "; allowed: 1 to ", most));
    }
    if (fields.Has("output_dimension")) options.set_dimensions(dimensions);
    const std::string type = fields.String("input_type");
    for (const std::string& name : PromptsOf(type)) {
      if (options.prompt_name().empty() && model.prompts.contains(name))
        options.set_prompt_name(name);
    }
    if (!type.empty() && options.prompt_name().empty() && !model.prompts.empty())
      warning_ = absl::StrCat("the model has no prompt for the input type ", type);
    return options;
  }

  absl::StatusOr<std::vector<std::shared_ptr<ItemWork>>> MakeWork(
      const ServiceParts& parts, JsonInputs inputs, const v1::EncodeOptions& options) {
    std::vector<std::shared_ptr<ItemWork>> work;
    cut_ = std::make_shared<std::vector<char>>(inputs.inputs.size(), 0);
    for (size_t i = 0; i < inputs.inputs.size(); ++i) {
      const std::string field = InputPath(kTexts, inputs.is_list, i);
      if (!inputs.inputs[i].is_text)
        return InvalidField(field, "is a list of numbers; allowed: a string");
      texts_.push_back(inputs.inputs[i].text);
      v1::Input input;
      MoveInto(std::move(inputs.inputs[i]), &input);
      auto decoded = DecodeInput(&input, options, field, parts.decoding());
      if (!decoded.ok()) return InCohereWords(decoded.status());
      // Each piece of work writes an element of its own, before the last of them joins.
      work.push_back(std::make_shared<JsonTextWork>(
          *std::move(decoded), VectorFormat::kFloat32, &InCohereWords,
          [cut = cut_, i](const EncodedDocument& document, const StageTimings&, std::string* out) {
            (*cut)[i] = document.truncated ? 1 : 0;
            out->assign(reinterpret_cast<const char*>(document.vector.data()),
                        document.vector.size() * sizeof(float));
          }));
    }
    return work;
  }

  static void AppendList(const std::vector<grpc::ByteBuffer>& pieces, Embedding embedding,
                         std::string* out) {
    const char* comma = "[";
    for (const grpc::ByteBuffer& piece : pieces) {
      out->append(std::exchange(comma, ","));
      AppendEmbedding(FloatsOf(piece), embedding, out);
    }
    out->push_back(']');
  }
  void AppendByType(const std::vector<grpc::ByteBuffer>& pieces, std::string* out) const {
    const std::vector<std::string> types =
        types_.empty() ? std::vector<std::string>{"float"} : types_;
    const char* comma = "{";
    for (const std::string& type : types) {
      absl::StrAppend(out, std::exchange(comma, ","), "\"", type, "\":");
      AppendList(pieces, EmbeddingOf(type), out);
    }
    out->push_back('}');
  }
  std::vector<std::string> Warnings() const {
    std::vector<std::string> warnings;
    if (!warning_.empty()) warnings.push_back(warning_);
    for (size_t i = 0; i < cut_->size(); ++i) {
      if ((*cut_)[i] != 0) warnings.push_back(absl::StrCat(kTexts, "[", i, "] was cut"));
    }
    return warnings;
  }

  const bool is_v2_;
  IgnoredFields ignored_;
  std::vector<std::string> types_;
  std::vector<std::string> texts_;
  std::string warning_;
  std::shared_ptr<std::vector<char>> cut_;  // by text
};

void AddEmbed(const char* path, bool is_v2, const ServiceParts* parts, HttpServer* http) {
  http->AddAsyncRoute(
      "POST", path, ApiRoute(*parts), [parts, is_v2](std::shared_ptr<HttpExchange> exchange) {
        HttpCall::Start(std::make_shared<BatchCall>(RpcMethod::kCohereEmbed,
                                                    std::make_unique<EmbedRequest>(is_v2),
                                                    std::move(exchange), parts));
      });
}

}  // namespace

std::span<const JsonField> CohereFields() {
  static const std::vector<JsonField> fields = {
      {.name = kTexts, .type = JsonType::kTexts, .required = true, .description = "The texts."},
      {.name = "model", .type = JsonType::kString, .description = "Not compared."},
      {.name = "input_type",
       .type = JsonType::kChoice,
       .description = "Names a prompt of the model, where it has one that fits.",
       .choices = {"search_document", "search_query", "classification", "clustering"}},
      {.name = kTypes,
       .type = JsonType::kList,
       .description = "float, int8, uint8, binary, ubinary, base64; several at once."},
      {.name = "truncate",
       .type = JsonType::kChoice,
       .description = "Where a text that is too long is cut. Default: NONE, it is refused.",
       .choices = {"NONE", "START", "END"}},
      {.name = "output_dimension",
       .type = JsonType::kCount,
       .description = "Values to keep (Matryoshka: the vector is cut, then normalised)."}};
  return fields;
}

HttpResponse CohereRefusal(const absl::Status& status) {
  const nlohmann::ordered_json body = {{"message", ToRpcStatus(status).message()}};
  return {
      .code = ToHttpCode(status), .content_type = "application/json", .body = body.dump() + "\n"};
}

void AddCohereRoutes(const ServiceParts* parts, HttpServer* http) {
  AddEmbed("/v2/embed", true, parts, http);
  AddEmbed("/v1/embed", false, parts, http);
}

}  // namespace longspan
