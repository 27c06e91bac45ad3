#include "server/rest/openai_routes.h"

#include <algorithm>
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
#include "server/text/text_segments.h"
#include "server/wire/input_decoder.h"
#include "server/wire/renamed_field.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

constexpr char kInput[] = "input";

// The fields of longspan.v1 that a request of this API can break, as it calls them.
std::string OpenAiName(std::string_view field) {
  if (field == "options.dimensions") return "dimensions";
  if (field == "options.prompt_name") return "task";
  if (field == "options.pooling" || field.find(".spans") != std::string_view::npos)
    return "late_chunking";
  return PlainInputName(field);
}

absl::Status InOpenAiWords(const absl::Status& status) {
  return RenamedField(status, OpenAiName, "(set truncate)");
}

void AppendItem(size_t index, const std::vector<float>& values, Embedding embedding, bool truncated,
                std::string* out) {
  absl::StrAppend(out, R"({"object":"embedding","index":)", index, R"(,"embedding":)");
  AppendEmbedding(values, embedding, out);
  AppendScale(values, embedding, out);
  absl::StrAppend(out, truncated ? R"(,"truncated":true})" : "}");
}

class EmbeddingsRequest final : public BatchRequest {
 public:
  absl::StatusOr<std::vector<std::shared_ptr<ItemWork>>> Read(const ServiceParts& parts,
                                                              std::string body) override {
    model_name_ = parts.model->name;
    ignored_ = IgnoredFields(parts.options->strict_json);
    auto json = ReadJson(body);
    if (!json.ok()) return json.status();
    body = {};
    auto fields = ReadFields(*std::move(json), OpenAiFields(), &ignored_);
    if (!fields.ok()) return fields.status();
    auto inputs = TakeInputs(fields->Find(kInput), kInput, parts.options->max_texts_per_request);
    if (!inputs.ok()) return inputs.status();
    if (absl::Status status = CheckModel(*fields, inputs->inputs.front()); !status.ok())
      return status;
    auto options = ReadOptions(*fields, *parts.model);
    if (!options.ok()) return options.status();
    return fields->Bool("late_chunking", false)
               ? ReadDocument(parts, std::move(inputs->inputs), *std::move(options))
               : ReadTexts(parts, *std::move(inputs), *options);
  }

  HttpResponse Join(const std::vector<grpc::ByteBuffer>& pieces,
                    const BatchTotals& totals) override {
    std::string body = R"({"object":"list","data":[)";
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) body.push_back(',');
      AppendBuffer(pieces[i], &body);
    }
    body.append(R"(],"model":)");
    AppendJsonString(model_name_, &body);
    absl::StrAppend(&body, R"(,"usage":{"prompt_tokens":)", totals.tokens, R"(,"total_tokens":)",
                    totals.tokens, "}}\n");
    HttpResponse response{.content_type = "application/json", .body = std::move(body)};
    ignored_.AddHeader(&response);
    return response;
  }

  HttpResponse Refusal(const absl::Status& status) const override { return OpenAiRefusal(status); }

 private:
  using Work = std::vector<std::shared_ptr<ItemWork>>;

  absl::Status CheckModel(const JsonFields& fields, const JsonInput& first) const {
    const std::string asked = fields.String("model", model_name_);
    if (first.is_text || asked == model_name_) return absl::OkStatus();
    return InvalidField(
        "model", absl::StrCat("is ", Quoted(asked), " with token ids, which are of ",
                              "its vocabulary; allowed: ", Quoted(model_name_), ", or send texts"));
  }

  absl::StatusOr<v1::EncodeOptions> ReadOptions(const JsonFields& fields, const ModelInfo& model) {
    v1::EncodeOptions options;
    if (fields.Has("dimensions")) {
      const uint32_t dimensions = fields.Count("dimensions", 0);
      if (dimensions == 0) {
        return InvalidField("dimensions",
                            absl::StrCat("is 0; allowed: 1 to ", model.output_dimensions));
      }
      options.set_dimensions(dimensions);
    }
    options.set_truncation(fields.Bool("truncate", false) ? v1::TRUNCATION_HEAD
                                                          : v1::TRUNCATION_REJECT);
    if (fields.Has("normalized")) options.set_normalize(fields.Bool("normalized", true));
    if (auto prompt = PromptOf(fields.String("task"), model); prompt.ok()) {
      options.set_prompt_name(*std::move(prompt));
    } else {
      return prompt.status();
    }
    embedding_ = EmbeddingOf(fields.String(
        fields.Has("embedding_type") ? "embedding_type" : "encoding_format", "float"));
    return options;
  }

  // Jina's tasks are prompts. A model may call its prompt by the whole name of the task or by its
  // last part: "retrieval.query" or "query".
  static absl::StatusOr<std::string> PromptOf(const std::string& task, const ModelInfo& model) {
    if (task.empty()) return std::string();
    if (model.prompts.contains(task)) return task;
    const std::string last = task.substr(task.rfind('.') + 1);  // npos + 1 = 0
    for (const std::string& name : {last, std::string(last == "passage" ? "document" : last)}) {
      if (model.prompts.contains(name)) return name;
    }
    return FindPrompt(task, "task", model).status();
  }

  absl::StatusOr<Work> ReadTexts(const ServiceParts& parts, JsonInputs inputs,
                                 const v1::EncodeOptions& options) {
    Work work;
    for (size_t i = 0; i < inputs.inputs.size(); ++i) {
      v1::Input input;
      MoveInto(std::move(inputs.inputs[i]), &input);
      auto decoded =
          DecodeInput(&input, options, InputPath(kInput, inputs.is_list, i), parts.decoding());
      if (!decoded.ok()) return InOpenAiWords(decoded.status());
      work.push_back(std::make_shared<JsonTextWork>(
          *std::move(decoded), AnswerFormatOf(embedding_), &InOpenAiWords,
          [i, embedding = embedding_](const EncodedDocument& document, const StageTimings&,
                                      std::string* out) {
            AppendItem(i, document.vector, embedding, document.truncated, out);
          }));
    }
    return work;
  }

  // The parts of one document.
  absl::StatusOr<Work> ReadDocument(const ServiceParts& parts, std::vector<JsonInput> inputs,
                                    v1::EncodeOptions options) {
    if (!inputs.front().is_text)
      return InvalidField("late_chunking", "reads texts; allowed with token ids: false");
    v1::Input document;
    std::string* text = document.mutable_text();
    int64_t at = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].text.empty()) {
        return InvalidField(absl::StrCat(kInput, "[", i, "]"),
                            "is empty; allowed: at least 1 character");
      }
      v1::Range* range = document.add_spans();
      range->set_begin(at);
      at += CountCharacters(inputs[i].text);
      range->set_end(at);
      text->append(std::exchange(inputs[i].text, {}));
    }
    options.set_include_document_vector(false);
    auto decoded = DecodeInput(&document, options, std::string(kInput), parts.decoding());
    if (!decoded.ok()) return InOpenAiWords(decoded.status());
    return Work{std::make_shared<JsonTextWork>(
        *std::move(decoded), AnswerFormatOf(embedding_), &InOpenAiWords,
        [embedding = embedding_](const EncodedDocument& encoded, const StageTimings&,
                                 std::string* out) {
          for (size_t i = 0; i < encoded.spans.size(); ++i) {
            if (i > 0) out->push_back(',');
            AppendItem(i, encoded.spans[i].vector, embedding, encoded.truncated, out);
          }
        })};
  }

  std::string model_name_;
  IgnoredFields ignored_;
  Embedding embedding_ = Embedding::kFloats;
};

HttpResponse Models(const ServiceParts& parts) {
  nlohmann::ordered_json model = {{"id", parts.model->name},
                                  {"object", "model"},
                                  {"created", 0},
                                  {"owned_by", "longspan"},
                                  {"dimensions", parts.model->output_dimensions}};
  if (parts.max_tokens() > 0) model["max_model_len"] = parts.max_tokens();
  const nlohmann::ordered_json list = {{"object", "list"}, {"data", {std::move(model)}}};
  return {.content_type = "application/json", .body = list.dump() + "\n"};
}

}  // namespace

std::span<const JsonField> OpenAiFields() {
  static const std::vector<JsonField> fields = {
      {.name = kInput,
       .type = JsonType::kInputs,
       .required = true,
       .description = "The texts, or token ids of the served model."},
      {.name = "model",
       .type = JsonType::kString,
       .description = "Compared with the served model where token ids are sent. The answer says "
                      "which model has read the texts."},
      {.name = "encoding_format",
       .type = JsonType::kChoice,
       .description = "How vectors are written: as numbers, or as little-endian float32 in base64.",
       .choices = {"float", "base64"}},
      {.name = "dimensions",
       .type = JsonType::kCount,
       .description = "Values to keep (Matryoshka: the vector is cut, then normalised)."},
      {.name = "user", .type = JsonType::kAnything, .description = "Not read."},
      {.name = "task",
       .type = JsonType::kString,
       .description = "Name of a prompt of the model: retrieval.query, or query."},
      {.name = "late_chunking",
       .type = JsonType::kBool,
       .description = "The inputs are consecutive parts of one document, which is read in one "
                      "pass; each gets the mean of its own tokens."},
      {.name = "truncate",
       .type = JsonType::kBool,
       .description = "Whether a text that is too long is cut at its end. Else it is refused."},
      {.name = "normalized",
       .type = JsonType::kBool,
       .description = "Whether vectors are scaled to length 1. Default: as the model says."},
      {.name = "embedding_type",
       .type = JsonType::kChoice,
       .description = "In place of encoding_format. binary and ubinary: a bit a value, packed into "
                      "signed or unsigned bytes; int8: value = int8 * scale.",
       .choices = {"float", "base64", "binary", "ubinary", "int8"}}};
  return fields;
}

HttpResponse OpenAiRefusal(const absl::Status& status) {
  const int code = ToHttpCode(status);
  const char* type = code == 429   ? "rate_limit_error"
                     : code >= 500 ? "server_error"
                                   : "invalid_request_error";
  nlohmann::ordered_json error = {{"message", ToRpcStatus(status).message()},
                                  {"type", type},
                                  {"param", nullptr},
                                  {"code", nullptr}};
  if (const auto field = FieldOf(status); field.has_value()) error["param"] = *field;
  if (const auto reason = ReasonOf(status); reason.has_value())
    error["code"] = *reason == kReasonMaxTokens ? "context_length_exceeded" : *reason;
  const nlohmann::ordered_json body = {{"error", std::move(error)}};
  return {.code = code, .content_type = "application/json", .body = body.dump() + "\n"};
}

void AddOpenAiRoutes(const ServiceParts* parts, HttpServer* http) {
  http->AddAsyncRoute(
      "POST", "/v1/embeddings", ApiRoute(*parts), [parts](std::shared_ptr<HttpExchange> exchange) {
        HttpCall::Start(std::make_shared<BatchCall>(RpcMethod::kOpenAiEmbeddings,
                                                    std::make_unique<EmbeddingsRequest>(),
                                                    std::move(exchange), parts));
      });
  http->AddRoute(
      "GET", "/v1/models", [parts](const HttpRequest&) { return Models(*parts); },
      ApiRoute(*parts));
}

}  // namespace longspan
