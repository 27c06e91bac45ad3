#include "server/wire/request_decoder.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/wire/enums.h"

namespace longspan {

absl::StatusOr<DecodedRequest> DecodeEncodeRequest(v1::EncodeRequest* request,
                                                   const DecodingContext& context) {
  const int num_inputs = request->inputs_size();
  if (num_inputs == 0 || num_inputs > context.max_texts_per_request) {
    absl::Status status = InvalidField(
        "inputs",
        absl::StrCat(num_inputs == 0 ? "is empty" : absl::StrCat("has ", num_inputs, " texts"),
                     "; allowed: 1 to ", context.max_texts_per_request));
    return num_inputs == 0 ? status : WithReason(std::move(status), kReasonMaxTextsPerRequest);
  }
  DecodedRequest decoded;
  for (int i = 0; i < num_inputs; ++i) {
    auto input = DecodeInput(request->mutable_inputs(i), request->options(),
                             absl::StrCat("inputs[", i, "]"), context);
    if (!input.ok())
      return WithInput(input.status(), absl::StrCat("inputs[", i, "]"), request->inputs(i).id());
    decoded.inputs.push_back(*std::move(input));
  }
  // DecodeInput has checked the format with each input.
  decoded.format = DecodeVectorFormat(request->options().vector_format()).value();
  decoded.max_answer_bytes = CallersAnswerBytes(request->options().max_answer_bytes());
  return decoded;
}

absl::StatusOr<EncodeInput> DecodeTokensInput(v1::EncodeTokensRequest* request,
                                              const DecodingContext& context) {
  const v1::EncodeOptions& options = request->options();
  if (options.pooling() != v1::POOLING_UNSPECIFIED)
    return InvalidField("options.pooling", "is set; allowed for token vectors: unset");
  if (options.truncation() == v1::TRUNCATION_WINDOWS) {
    return InvalidField("options.truncation",
                        "is WINDOWS; allowed for token vectors: REJECT, HEAD, TAIL, HEAD_TAIL");
  }
  if (options.dimensions() != 0)
    return InvalidField("options.dimensions", "is set; allowed for token vectors: 0");
  if (request->input().spans_size() > 0 || options.span_policy() > v1::SPAN_POLICY_NONE) {
    return InvalidField("options.span_policy", "asks for spans; allowed for token vectors: none");
  }
  if (options.has_lexical())
    return InvalidField("options.lexical", "is set; allowed for token vectors: unset");
  DecodingContext of_tokens = context;
  of_tokens.token_vectors = true;
  auto input = DecodeInput(request->mutable_input(), options, "input", of_tokens);
  if (!input.ok()) return WithInput(input.status(), "input", request->input().id());
  input->options.document_vector = false;
  const bool is_multi_vector = context.model->multi_vector.has_value();
  if (!options.has_normalize() && !is_multi_vector) input->options.normalize = false;
  return input;
}

absl::Status CheckTokenizeRequest(const v1::TokenizeRequest& request,
                                  const DecodingContext& context) {
  if (!context.has_tokenizer) {
    return absl::FailedPreconditionError(
        "this model has no tokenizer: texts cannot be read; allowed: Encode with token_ids");
  }
  if (request.texts_size() == 0 || request.texts_size() > context.max_texts_per_request) {
    absl::Status status = InvalidField(
        "texts", absl::StrCat(request.texts_size() == 0
                                  ? "is empty"
                                  : absl::StrCat("has ", request.texts_size(), " texts"),
                              "; allowed: 1 to ", context.max_texts_per_request));
    return request.texts_size() == 0 ? status
                                     : WithReason(std::move(status), kReasonMaxTextsPerRequest);
  }
  for (int i = 0; i < request.texts_size(); ++i) {
    const auto bytes = static_cast<int64_t>(request.texts(i).size());
    if (bytes > context.max_text_bytes) {
      return WithReason(InvalidField(absl::StrCat("texts[", i, "]"),
                                     absl::StrCat("has ", bytes, " bytes; allowed: at most ",
                                                  context.max_text_bytes)),
                        kReasonMaxTextBytes);
    }
  }
  if (request.prompt_name().empty()) return absl::OkStatus();
  if (absl::Status status = CheckPromptName(request.prompt_name(), "prompt_name"); !status.ok())
    return status;
  return FindPrompt(request.prompt_name(), "prompt_name", *context.model).status();
}

}  // namespace longspan
