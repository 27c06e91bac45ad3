#include "server/wire/document_decoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "core/search/cells.h"
#include "server/text/stems.h"
#include "server/wire/renamed_field.h"

namespace longspan {
namespace {

constexpr uint32_t kFewestSpanTokens = 8, kMostSpanTokens = 8192;

// The name of the first prompt of `names` that the model has; "" where it has none of them.
std::string PromptOf(const ModelInfo& model, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (model.prompts.contains(name)) return name;
  }
  return "";
}

}  // namespace

absl::Status CheckDocumentCount(int documents, const DecodingContext& context) {
  if (documents > 0 && documents <= context.max_texts_per_request) return absl::OkStatus();
  absl::Status status = InvalidField(
      "documents",
      absl::StrCat(documents == 0 ? "is empty" : absl::StrCat("has ", documents, " texts"),
                   "; allowed: 1 to ", context.max_texts_per_request));
  return documents == 0 ? status : WithReason(std::move(status), kReasonMaxTextsPerRequest);
}

absl::StatusOr<std::vector<EncodeInput>> DecodeDocuments(WireDocuments* documents,
                                                         const v1::EncodeOptions& options,
                                                         const std::string& prompt,
                                                         const DecodingContext& context) {
  std::vector<EncodeInput> inputs;
  inputs.reserve(documents->size());
  for (int i = 0; i < documents->size(); ++i) {
    v1::SearchDocument& wire = *documents->Mutable(i);
    const std::string field = absl::StrCat("documents[", i, "]");
    if (absl::Status status = CheckId(wire.id(), field); !status.ok()) return status;
    auto input =
        DecodePromptedText(wire.mutable_text(), options, field, prompt, "document_prompt_name",
                           {"document", "passage", "corpus"}, context);
    if (!input.ok()) return AtDocument(input.status(), i, wire.id());
    inputs.push_back(*std::move(input));
  }
  return inputs;
}

absl::StatusOr<EncodeInput> DecodePromptedText(std::string* text, v1::EncodeOptions options,
                                               const std::string& field, const std::string& prompt,
                                               const char* prompt_field,
                                               std::initializer_list<const char*> usual_prompts,
                                               const DecodingContext& context) {
  const std::string path = absl::StrCat("options.", prompt_field);
  if (absl::Status status = CheckPromptName(prompt, path); !status.ok()) return status;
  if (!prompt.empty()) {
    const auto found = FindPrompt(prompt, path, *context.model);
    if (!found.ok()) return found.status();
  }
  options.set_prompt_name(prompt.empty() ? PromptOf(*context.model, usual_prompts) : prompt);
  v1::Input input;
  input.mutable_text()->swap(*text);
  return DecodeInput(&input, options, field, context);
}

absl::Status CheckLanguage(const std::string& language) {
  const std::vector<std::string>& known = Stemmer::Languages();
  if (language.empty() || std::find(known.begin(), known.end(), language) != known.end())
    return absl::OkStatus();
  return InvalidField("options.language",
                      absl::StrCat("is ", Quoted(language), "; allowed: ", QuotedNames(known)));
}

absl::StatusOr<std::optional<int64_t>> DecodeCellTokens(uint32_t span_tokens) {
  if (span_tokens == 0) return std::optional<int64_t>();
  if (span_tokens >= kFewestSpanTokens && span_tokens <= kMostSpanTokens &&
      span_tokens % kCellsOfAPassage == 0)
    return std::optional<int64_t>(span_tokens / kCellsOfAPassage);
  return InvalidField("options.span_tokens",
                      absl::StrCat("is ", span_tokens, "; allowed: even numbers from ",
                                   kFewestSpanTokens, " to ", kMostSpanTokens));
}

absl::Status AtDocument(const absl::Status& status, size_t index, const std::string& id) {
  return WithInput(status, absl::StrCat("documents[", index, "]"), id);
}

}  // namespace longspan
