#include "client/encode_options.h"

#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/text_file.h"

namespace longspan {
namespace {

// Sets what --spans says; false where it says nothing that is known.
bool SetSpans(const std::string& spans, v1::EncodeOptions* options) {
  const std::vector<std::string> parts = absl::StrSplit(spans, ':');
  v1::SpanPolicy policy = v1::SPAN_POLICY_UNSPECIFIED;
  if (!v1::SpanPolicy_Parse("SPAN_POLICY_" + absl::AsciiStrToUpper(parts[0]), &policy))
    return false;
  options->set_span_policy(policy);
  if (policy != v1::SPAN_POLICY_FIXED) return parts.size() == 1 && policy != v1::SPAN_POLICY_GIVEN;
  uint32_t tokens = 0;
  uint32_t overlap = 0;
  if (parts.size() < 2 || parts.size() > 3 || !absl::SimpleAtoi(parts[1], &tokens) ||
      (parts.size() == 3 && !absl::SimpleAtoi(parts[2], &overlap)))
    return false;
  options->set_span_tokens(tokens);
  options->set_span_overlap_tokens(overlap);
  return tokens > 0 && overlap < tokens;
}

}  // namespace

v1::EncodeOptions OptionsOf(const EncodeCommand& command) {
  v1::EncodeOptions options;
  const auto upper = [](const std::string& name) { return absl::AsciiStrToUpper(name); };
  v1::Truncation truncation = v1::TRUNCATION_UNSPECIFIED;
  if (v1::Truncation_Parse("TRUNCATION_" + upper(command.truncation), &truncation))
    options.set_truncation(truncation);
  v1::Pooling pooling = v1::POOLING_UNSPECIFIED;
  if (v1::Pooling_Parse("POOLING_" + upper(command.pooling), &pooling))
    options.set_pooling(pooling);
  if (!command.spans.empty()) SetSpans(command.spans, &options);
  options.set_span_min_tokens(static_cast<uint32_t>(command.span_min_tokens));
  options.set_span_max_tokens(static_cast<uint32_t>(command.span_max_tokens));
  options.set_dimensions(static_cast<uint32_t>(command.dimensions));
  options.set_max_tokens(static_cast<uint64_t>(command.max_tokens));
  options.set_prompt_name(command.prompt_name);
  if (command.lexical) options.mutable_lexical()->set_language(command.lexical_language);
  return options;
}

std::string CheckSpans(const std::string& spans) {
  v1::EncodeOptions options;
  if (SetSpans(spans, &options)) return "";
  return absl::StrCat("--spans is ", spans,
                      "; allowed: none, sentences, paragraphs, fixed:TOKENS or "
                      "fixed:TOKENS:OVERLAP, where the overlap is below the tokens");
}

std::string IdOfPath(const std::string& path) {
  std::string id = path;
  for (size_t bad = FindInvalidUtf8(id); bad != std::string::npos; bad = FindInvalidUtf8(id))
    id[bad] = '?';
  return id;
}

}  // namespace longspan
