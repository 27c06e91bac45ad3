#include "server/tei/tei_requests.h"

#include <longspan/v1/encoder.pb.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/tei/tei_errors.h"
#include "server/wire/enums.h"

namespace longspan {
namespace {

constexpr char kField[] = "inputs";
constexpr int64_t kBytesPerId = sizeof(int32_t);  // as the engine holds them

absl::Status CheckTokenizer(const DecodingContext& context) {
  if (context.has_tokenizer) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this model has no tokenizer: texts cannot be read; allowed: Encode of longspan.v1 with "
      "token_ids");
}

// What EmbedRequest, EmbedAllRequest and EmbedSparseRequest have in common.
template <typename Request>
absl::StatusOr<EncodeInput> DecodeText(Request* request, v1::EncodeOptions options,
                                       const DecodingContext& context) {
  if (absl::Status status = CheckTokenizer(context); !status.ok()) return status;
  const auto truncation = TruncationOf(request->truncate(), request->truncation_direction());
  if (!truncation.ok()) return truncation.status();
  options.set_truncation(*truncation);
  if (!options.has_lexical()) options.set_prompt_name(std::move(*request->mutable_prompt_name()));
  v1::Input input;
  input.set_text(std::move(*request->mutable_inputs()));
  auto decoded = DecodeInput(&input, options, kField, context);
  if (!decoded.ok()) return InTeiWords(decoded.status());
  return decoded;
}

}  // namespace

absl::StatusOr<v1::Truncation> TruncationOf(bool truncate, tei::v1::TruncationDirection direction) {
  if (!tei::v1::TruncationDirection_IsValid(direction)) {
    return BadEnum("truncation_direction", direction,
                   "a value of tei.v1.TruncationDirection, 0..1");
  }
  if (!truncate) return v1::TRUNCATION_REJECT;
  return direction == tei::v1::TRUNCATION_DIRECTION_LEFT ? v1::TRUNCATION_TAIL
                                                         : v1::TRUNCATION_HEAD;
}

absl::StatusOr<EncodeInput> DecodeEmbedRequest(tei::v1::EmbedRequest* request,
                                               const DecodingContext& context) {
  const auto most = static_cast<uint64_t>(context.model->output_dimensions);
  if (request->has_dimensions() && (request->dimensions() == 0 || request->dimensions() > most)) {
    return InvalidField("dimensions",
                        absl::StrCat("is ", request->dimensions(), "; allowed: 1 to ", most));
  }
  v1::EncodeOptions options;
  options.set_normalize(!request->has_normalize() || request->normalize());
  options.set_dimensions(request->dimensions());
  return DecodeText(request, std::move(options), context);
}

absl::StatusOr<EncodeInput> DecodeEmbedAllRequest(tei::v1::EmbedAllRequest* request,
                                                  const DecodingContext& context) {
  v1::EncodeOptions options;
  if (!context.model->multi_vector.has_value()) options.set_normalize(false);
  auto input = DecodeText(request, std::move(options), context);
  if (input.ok()) input->options.document_vector = false;
  return input;
}

absl::Status AskForWords(const std::string& prompt_name, v1::EncodeOptions* options) {
  const bool query = prompt_name == "query";
  if (!query && !prompt_name.empty() && prompt_name != "document") {
    return InvalidField("prompt_name", absl::StrCat("is ", Quoted(prompt_name),
                                                    "; allowed for words: query, document"));
  }
  options->mutable_lexical()->set_query(query);
  options->set_include_document_vector(false);
  return absl::OkStatus();
}

absl::StatusOr<EncodeInput> DecodeEmbedSparseRequest(tei::v1::EmbedSparseRequest* request,
                                                     const DecodingContext& context) {
  v1::EncodeOptions options;
  absl::Status status = AskForWords(request->prompt_name(), &options);
  if (!status.ok()) return status;
  auto input = DecodeText(request, std::move(options), context);
  if (input.ok()) input->prompt.clear();  // the model's default
  return input;
}

absl::Status CheckTokenizeRequest(const tei::v1::EncodeRequest& request,
                                  const DecodingContext& context) {
  if (absl::Status status = CheckTokenizer(context); !status.ok()) return status;
  const auto bytes = static_cast<int64_t>(request.inputs().size());
  const std::string allowed = absl::StrCat("; allowed: 1 to ", context.max_text_bytes, " bytes");
  if (bytes == 0) return InvalidField(kField, absl::StrCat("is empty", allowed));
  if (bytes > context.max_text_bytes) {
    return WithReason(InvalidField(kField, absl::StrCat("has ", bytes, " bytes", allowed)),
                      kReasonMaxTextBytes);
  }
  if (request.prompt_name().empty()) return absl::OkStatus();
  if (absl::Status status = CheckPromptName(request.prompt_name(), "prompt_name"); !status.ok())
    return status;
  return FindPrompt(request.prompt_name(), "prompt_name", *context.model).status();
}

absl::Status CheckDecodeRequest(const tei::v1::DecodeRequest& request,
                                const DecodingContext& context) {
  if (absl::Status status = CheckTokenizer(context); !status.ok()) return status;
  const int64_t most = context.max_text_bytes / kBytesPerId;
  const std::string allowed = absl::StrCat("; allowed: 1 to ", most, " ids");
  if (request.ids().empty()) return InvalidField("ids", absl::StrCat("is empty", allowed));
  if (request.ids_size() <= most) return absl::OkStatus();
  return WithReason(InvalidField("ids", absl::StrCat("has ", request.ids_size(), " ids", allowed)),
                    kReasonMaxTextBytes);
}

}  // namespace longspan
