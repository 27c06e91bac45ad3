#include "server/rest/tei_routes.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/error_details.h"
#include "nlohmann/json.hpp"
#include "server/rest/batch_call.h"
#include "server/rest/json_work.h"
#include "server/rest/json_writer.h"
#include "server/rest/route_input.h"
#include "server/rest/route_options.h"
#include "server/tei/info.h"
#include "server/tei/tei_requests.h"
#include "server/tei/tokenize_work.h"
#include "server/wire/input_decoder.h"
#include "server/wire/renamed_field.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

using Work = std::vector<std::shared_ptr<ItemWork>>;

constexpr char kInputs[] = "inputs";
constexpr std::string_view kLeft = "left";

// Whether the request has nothing in it, which TEI answers in another way than other faults.
bool SaysEmpty(const absl::Status& status, const std::string& message) {
  const auto field = FieldOf(status);
  return field.has_value() && message.starts_with(*field + " is empty");
}

// The fields of longspan.v1 that a request of this API can break, as it calls them.
std::string TeiHttpName(std::string_view field) {
  constexpr std::string_view kOptions = "options.";
  if (field.starts_with(kOptions)) return std::string(field.substr(kOptions.size()));
  return PlainInputName(field);
}

absl::Status InTeiHttpWords(const absl::Status& status) {
  return RenamedField(status, TeiHttpName, "(set truncate)");
}

JsonField Inputs(JsonType type, std::string_view description) {
  return {.name = kInputs, .type = type, .required = true, .description = description};
}
JsonField Truncate() {
  return {.name = "truncate",
          .type = JsonType::kBool,
          .description = "Whether a text that is too long is cut. Else it is refused."};
}
JsonField Direction() {
  return {.name = "truncation_direction",
          .type = JsonType::kChoice,
          .description = "Where a text is cut.",
          .choices = {"right", kLeft, "Right", "Left"}};
}
JsonField PromptName() {
  return {.name = "prompt_name",
          .type = JsonType::kString,
          .description = "Name of a prompt of the model, which is put in front of each text."};
}

std::string Milliseconds(absl::Duration duration) {
  return absl::StrCat(std::max<int64_t>(0, absl::ToInt64Milliseconds(duration)));
}

void AddHeaders(const BatchTotals& totals, HttpResponse* response) {
  const StageTimings& timings = totals.timings;
  response->headers.insert({{"x-compute-tokens", absl::StrCat(totals.tokens)},
                            {"x-compute-characters", absl::StrCat(totals.characters)},
                            {"x-compute-time", Milliseconds(timings.compute)},
                            {"x-total-time", Milliseconds(timings.total)},
                            {"x-tokenization-time", Milliseconds(timings.tokenize)},
                            {"x-queue-time", Milliseconds(timings.queue)},
                            {"x-inference-time", Milliseconds(timings.compute)}});
}

// A list of one piece for each input.
class TeiRequest : public BatchRequest {
 public:
  HttpResponse Join(const std::vector<grpc::ByteBuffer>& pieces,
                    const BatchTotals& totals) override {
    HttpResponse response{.content_type = "application/json", .body = "["};
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) response.body.push_back(',');
      AppendBuffer(pieces[i], &response.body);
    }
    response.body.append("]\n");
    AddHeaders(totals, &response);
    response.headers["x-compute-type"] = device_;
    ignored_.AddHeader(&response);
    return response;
  }

  HttpResponse Refusal(const absl::Status& status) const override { return TeiRefusal(status); }

 protected:
  absl::StatusOr<JsonFields> ReadBody(const ServiceParts& parts, const std::string& body,
                                      std::span<const JsonField> table) {
    device_ = parts.model->device;
    ignored_ = IgnoredFields(parts.options->strict_json);
    auto json = ReadJson(body);
    if (!json.ok()) return json.status();
    return ReadFields(*std::move(json), table, &ignored_);
  }

 private:
  std::string device_;
  IgnoredFields ignored_;
};

// What of each text is wanted.
enum class Wanted { kVector, kTokens, kWords };

std::span<const JsonField> FieldsOf(Wanted wanted) {
  switch (wanted) {
    case Wanted::kTokens:
      return TeiEmbedAllFields();
    case Wanted::kWords:
      return TeiEmbedSparseFields();
    default:
      return TeiEmbedFields();
  }
}

// [{"index":17,"value":1.5},...]
void AppendWordsJson(const LexicalVector& words, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < words.indices.size(); ++i) {
    absl::StrAppend(out, i > 0 ? "," : "", R"({"index":)", words.indices[i], R"(,"value":)");
    AppendJsonFloat(words.values[i], out);
    out->push_back('}');
  }
  out->push_back(']');
}

class EmbedRequest final : public TeiRequest {
 public:
  explicit EmbedRequest(Wanted wanted) : wanted_(wanted) {}

  absl::StatusOr<Work> Read(const ServiceParts& parts, std::string body) override {
    auto fields = ReadBody(parts, body, FieldsOf(wanted_));
    if (!fields.ok()) return fields.status();
    body = {};
    auto inputs = TakeInputs(fields->Find(kInputs), kInputs, parts.options->max_texts_per_request);
    if (!inputs.ok()) return inputs.status();
    auto options = ReadOptions(*fields, *parts.model);
    if (!options.ok()) return options.status();
    Work work;
    for (size_t i = 0; i < inputs->inputs.size(); ++i) {
      v1::Input input;
      MoveInto(std::move(inputs->inputs[i]), &input);
      auto decoded =
          DecodeInput(&input, *options, InputPath(kInputs, inputs->is_list, i), parts.decoding());
      if (!decoded.ok()) return InTeiHttpWords(decoded.status());
      work.push_back(MakeWork(*std::move(decoded)));
    }
    return work;
  }

 private:
  class TokensWork final : public JsonTokensWork {
   public:
    explicit TokensWork(EncodeInput input) : JsonTokensWork(std::move(input), &InTeiHttpWords) {}

   private:
    void Write(std::string* out) override {
      const char* comma = "[";
      while (const auto rows = NextRows()) {
        for (int64_t row = 0; row < rows->num_rows; ++row) {
          absl::StrAppend(out, std::exchange(comma, ","));
          AppendJsonFloats({rows->values.data() + row * width(), static_cast<size_t>(width())},
                           out);
        }
      }
      out->push_back(']');
    }
  };

  absl::StatusOr<v1::EncodeOptions> ReadOptions(const JsonFields& fields,
                                                const ModelInfo& model) const {
    v1::EncodeOptions options;
    const bool left = fields.String("truncation_direction") == kLeft ||
                      fields.String("truncation_direction") == "Left";
    options.set_truncation(!fields.Bool("truncate", false) ? v1::TRUNCATION_REJECT
                           : left                          ? v1::TRUNCATION_TAIL
                                                           : v1::TRUNCATION_HEAD);
    if (wanted_ == Wanted::kWords) {
      absl::Status status = AskForWords(fields.String("prompt_name"), &options);
      if (!status.ok()) return status;
      return options;
    }
    options.set_prompt_name(fields.String("prompt_name"));
    if (wanted_ == Wanted::kTokens) {
      if (!model.multi_vector.has_value()) options.set_normalize(false);
      return options;
    }
    options.set_normalize(fields.Bool("normalize", true));
    const auto most = static_cast<uint32_t>(model.output_dimensions);
    const uint32_t dimensions = fields.Count("dimensions", most);
    if (dimensions == 0 || dimensions > most) {
      return InvalidField("dimensions", absl::StrCat("is ", dimensions, "; allowed: 1 to ", most));
    }
    if (fields.Has("dimensions")) options.set_dimensions(dimensions);
    return options;
  }

  std::shared_ptr<ItemWork> MakeWork(EncodeInput input) const {
    if (wanted_ == Wanted::kTokens) {
      input.options.document_vector = false;
      return std::make_shared<TokensWork>(std::move(input));
    }
    if (wanted_ == Wanted::kWords) input.prompt.clear();  // the model's default
    return std::make_shared<JsonTextWork>(
        std::move(input), VectorFormat::kFloat32, &InTeiHttpWords,
        [wanted = wanted_](const EncodedDocument& document, const StageTimings&, std::string* out) {
          if (wanted == Wanted::kWords) return AppendWordsJson(*document.lexical, out);
          AppendJsonFloats(document.vector, out);
        });
  }

  const Wanted wanted_;
};

class JsonTokenSink final : public TokenSink {
 public:
  void Append(const tei::v1::SimpleToken& token) override {
    absl::StrAppend(&text_, std::exchange(comma_, ","), R"({"id":)", token.id(), R"(,"text":)");
    AppendJsonString(token.text(), &text_);
    absl::StrAppend(&text_, R"(,"special":)", token.special() ? "true" : "false", R"(,"start":)",
                    token.has_start() ? absl::StrCat(token.start()) : "null", R"(,"stop":)",
                    token.has_stop() ? absl::StrCat(token.stop()) : "null", "}");
  }
  size_t bytes() const override { return text_.size(); }
  grpc::ByteBuffer Finish() override {
    return BufferOf(text_.empty() ? "[]" : std::move(text_) + "]");
  }

 private:
  const char* comma_ = "[";
  std::string text_;
};

class JsonTokenizeWork final : public TokenizeWork {
 public:
  using TokenizeWork::TokenizeWork;

 private:
  std::unique_ptr<TokenSink> NewSink() const override { return std::make_unique<JsonTokenSink>(); }
};

class JsonDecodeWork final : public DecodeWork {
 public:
  using DecodeWork::DecodeWork;

 private:
  grpc::ByteBuffer Serialize(std::string text) const override {
    std::string json;
    AppendJsonString(text, &json);
    return BufferOf(std::move(json));
  }
};

// The check's own names, with the path of the input in place of the field.
absl::Status AtPath(const absl::Status& status, std::string_view field, const std::string& path) {
  return RenamedField(
      status, [&](std::string_view name) { return name == field ? path : std::string(name); }, "");
}

class TokenizeRequest final : public TeiRequest {
 public:
  absl::StatusOr<Work> Read(const ServiceParts& parts, std::string body) override {
    auto fields = ReadBody(parts, body, TeiTokenizeFields());
    if (!fields.ok()) return fields.status();
    auto inputs = TakeInputs(fields->Find(kInputs), kInputs, parts.options->max_texts_per_request);
    if (!inputs.ok()) return inputs.status();
    Work work;
    for (size_t i = 0; i < inputs->inputs.size(); ++i) {
      const std::string path = InputPath(kInputs, inputs->is_list, i);
      tei::v1::EncodeRequest request;
      request.set_inputs(std::move(inputs->inputs[i].text));
      request.set_add_special_tokens(fields->Bool("add_special_tokens", true));
      if (fields->Has("prompt_name")) request.set_prompt_name(fields->String("prompt_name"));
      absl::Status status = CheckTokenizeRequest(request, parts.decoding());
      if (!status.ok()) return AtPath(status, kInputs, path);
      std::string prompt;
      if (!request.prompt_name().empty())
        prompt = *FindPrompt(request.prompt_name(), "prompt_name", *parts.model).value();
      work.push_back(
          std::make_shared<JsonTokenizeWork>(std::move(request), std::move(prompt), path));
    }
    return work;
  }
};

class DecodeRequest final : public TeiRequest {
 public:
  absl::StatusOr<Work> Read(const ServiceParts& parts, std::string body) override {
    auto fields = ReadBody(parts, body, TeiDecodeFields());
    if (!fields.ok()) return fields.status();
    auto inputs = TakeInputs(fields->Find(kIds), kIds, parts.options->max_texts_per_request);
    if (!inputs.ok()) return inputs.status();
    Work work;
    for (size_t i = 0; i < inputs->inputs.size(); ++i) {
      const std::string path = InputPath(kIds, inputs->is_list, i);
      if (inputs->inputs[i].is_text)
        return InvalidField(path, "is a string; allowed: a list of token ids");
      tei::v1::DecodeRequest request;
      request.mutable_ids()->Add(inputs->inputs[i].ids.begin(), inputs->inputs[i].ids.end());
      request.set_skip_special_tokens(fields->Bool("skip_special_tokens", true));
      absl::Status status = CheckDecodeRequest(request, parts.decoding());
      if (!status.ok()) return AtPath(status, kIds, path);
      work.push_back(std::make_shared<JsonDecodeWork>(std::move(request), path));
    }
    return work;
  }

 private:
  static constexpr char kIds[] = "ids";
};

HttpResponse InfoAnswer(const ServiceParts& parts) {
  tei::v1::InfoResponse info;
  FillInfo(*parts.model, *parts.options, &info);
  std::string pooling;
  for (const PoolingMode mode : parts.model->pooling)
    absl::StrAppend(&pooling, pooling.empty() ? "" : ",", std::string(PoolingModeName(mode)));
  const nlohmann::ordered_json body = {{"model_id", info.model_id()},
                                       {"model_sha", nullptr},
                                       {"model_dtype", info.model_dtype()},
                                       {"model_type", {{"embedding", {{"pooling", pooling}}}}},
                                       {"max_concurrent_requests", info.max_concurrent_requests()},
                                       {"max_input_length", info.max_input_length()},
                                       {"max_batch_tokens", info.max_batch_tokens()},
                                       {"max_batch_requests", nullptr},
                                       {"max_client_batch_size", info.max_client_batch_size()},
                                       {"auto_truncate", false},
                                       {"tokenization_workers", info.tokenization_workers()},
                                       {"version", info.version()},
                                       {"sha", nullptr},
                                       {"docker_label", nullptr}};
  return {.content_type = "application/json", .body = body.dump() + "\n"};
}

template <typename Request, typename... Args>
HttpAsyncHandler Batch(RpcMethod method, const ServiceParts* parts, Args... args) {
  return [=](std::shared_ptr<HttpExchange> exchange) {
    HttpCall::Start(std::make_shared<BatchCall>(method, std::make_unique<Request>(args...),
                                                std::move(exchange), parts));
  };
}

void AddUnserved(const char* path, const char* reason, const ServiceParts& parts,
                 HttpServer* http) {
  http->AddRoute(
      "POST", path,
      [reason](const HttpRequest&) { return TeiRefusal(absl::UnimplementedError(reason)); },
      ApiRoute(parts));
}

}  // namespace

std::span<const JsonField> TeiEmbedFields() {
  static const std::vector<JsonField> fields = {
      Inputs(JsonType::kInputs, "The texts, or token ids of the served model."),
      Truncate(),
      Direction(),
      PromptName(),
      {.name = "normalize",
       .type = JsonType::kBool,
       .description = "Whether vectors are scaled to length 1. Default: true."},
      {.name = "dimensions",
       .type = JsonType::kCount,
       .description = "Values to keep (Matryoshka: the vector is cut, then normalised)."}};
  return fields;
}

std::span<const JsonField> TeiEmbedAllFields() {
  static const std::vector<JsonField> fields = {
      Inputs(JsonType::kInputs, "The texts, or token ids of the served model."), Truncate(),
      Direction(), PromptName()};
  return fields;
}

std::span<const JsonField> TeiEmbedSparseFields() {
  static const std::vector<JsonField> fields = {
      Inputs(JsonType::kTexts, "The texts."),
      Truncate(),
      Direction(),
      {.name = "prompt_name",
       .type = JsonType::kString,
       .description = "query: the texts are questions, whose words weigh 1 each. document, the "
                      "default: weights of BM25. No prompt is put in front."}};
  return fields;
}

std::span<const JsonField> TeiTokenizeFields() {
  static const std::vector<JsonField> fields = {
      Inputs(JsonType::kTexts, "The texts."),
      {.name = "add_special_tokens",
       .type = JsonType::kBool,
       .description = "Whether the model's special tokens are put around each text. Default: "
                      "true."},
      PromptName()};
  return fields;
}

std::span<const JsonField> TeiDecodeFields() {
  static const std::vector<JsonField> fields = {
      {.name = "ids",
       .type = JsonType::kIds,
       .required = true,
       .description = "Token ids of one text, or a list of such lists."},
      {.name = "skip_special_tokens",
       .type = JsonType::kBool,
       .description = "Whether special tokens are left out of the text. Default: true."}};
  return fields;
}

HttpResponse TeiRefusal(const absl::Status& status) {
  int code = ToHttpCode(status);
  const char* type = "Backend";
  const std::string message = ToRpcStatus(status).message();
  if (absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status)) {
    const bool empty = SaysEmpty(status, message);
    type = empty ? "Empty" : "Validation";
    code = empty ? 400 : ReasonOf(status).has_value() ? 413 : 422;
  } else if (absl::IsResourceExhausted(status)) {
    type = "Overloaded";
  } else if (absl::IsUnavailable(status)) {
    type = "Unhealthy";
  }
  const nlohmann::ordered_json body = {{"error", message}, {"error_type", type}};
  return {.code = code, .content_type = "application/json", .body = body.dump() + "\n"};
}

void AddTeiRoutes(const ServiceParts* parts, const std::function<bool()>& ready, HttpServer* http) {
  const RouteOptions options = ApiRoute(*parts);
  // TEI answers POST / for the first task of its model, and some clients know that route alone.
  for (const char* path : {"/embed", "/"}) {
    http->AddAsyncRoute("POST", path, options,
                        Batch<EmbedRequest>(RpcMethod::kHttpEmbed, parts, Wanted::kVector));
  }
  http->AddAsyncRoute("POST", "/embed_all", options,
                      Batch<EmbedRequest>(RpcMethod::kHttpEmbedAll, parts, Wanted::kTokens));
  http->AddAsyncRoute("POST", "/embed_sparse", options,
                      Batch<EmbedRequest>(RpcMethod::kHttpEmbedSparse, parts, Wanted::kWords));
  http->AddAsyncRoute("POST", "/tokenize", options,
                      Batch<TokenizeRequest>(RpcMethod::kHttpTokenize, parts));
  http->AddAsyncRoute("POST", "/decode", options,
                      Batch<DecodeRequest>(RpcMethod::kHttpDecode, parts));
  http->AddRoute(
      "GET", "/info", [parts](const HttpRequest&) { return InfoAnswer(*parts); }, options);
  for (const char* path : {"/health", "/ping"}) {
    http->AddRoute("GET", path, [ready](const HttpRequest&) {
      return ready() ? HttpResponse{.body = "ok\n"}
                     : TeiRefusal(absl::UnavailableError("the server is not serving"));
    });
  }
  AddUnserved("/predict", kNoClassifier, *parts, http);
}

}  // namespace longspan
