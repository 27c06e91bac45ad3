#include "server/text/token_layout.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/text/text_segments.h"

namespace longspan {
namespace {

// The types that the tokenizer gives to such a text; empty where all are 0.
std::vector<int32_t> TypesOf(const TokenLayout& layout, const Tokenizer::TokenTypes& types) {
  if (types.largest() == 0) return {};
  std::vector<int32_t> of(layout.tokens.ids.size(), types.text);
  if (layout.frame() > 0) {
    std::copy(types.prefix.begin(), types.prefix.end(), of.begin());
    std::copy(types.suffix.begin(), types.suffix.end(), of.end() - types.suffix.size());
  }
  return of;
}

TokenLayout LayoutOfIds(const std::vector<int32_t>& ids, const PreparationContext& context) {
  TokenLayout layout;
  layout.tokens.ids = ids;
  layout.body = {0, static_cast<int64_t>(ids.size())};
  const std::vector<int32_t>& prefix = context.prefix_ids;
  const std::vector<int32_t>& suffix = context.suffix_ids;
  if (ids.size() > prefix.size() + suffix.size() &&
      std::equal(prefix.begin(), prefix.end(), ids.begin()) &&
      std::equal(suffix.rbegin(), suffix.rend(), ids.rbegin())) {
    layout.body.begin += static_cast<int64_t>(prefix.size());
    layout.body.end -= static_cast<int64_t>(suffix.size());
  }
  layout.tokens.types = TypesOf(layout, context.types);
  return layout;
}

// `tokens` are those of prompt + text; the offsets of the body are moved back by the prompt.
TokenLayout LayoutOfText(Tokenization tokens, int64_t prompt_bytes, int64_t prompt_characters) {
  TokenLayout layout;
  const auto n = static_cast<int64_t>(tokens.ids.size());
  TokenRange body{0, n};
  while (body.begin < n &&
         (tokens.special[body.begin] || tokens.bytes[body.begin].begin < prompt_bytes))
    ++body.begin;
  while (body.end > body.begin && tokens.special[body.end - 1]) --body.end;
  for (int64_t i = body.begin; i < body.end; ++i) {
    tokens.bytes[i].begin -= prompt_bytes;
    tokens.bytes[i].end -= prompt_bytes;
    tokens.characters[i].begin -= prompt_characters;
    tokens.characters[i].end -= prompt_characters;
  }
  layout.tokens = std::move(tokens);
  layout.body = body;
  return layout;
}

// Tokens that a prompt takes out of pooling, by the rule of sentence-transformers: as many as the
// prompt has when it is tokenised alone, its leading special tokens counted and the trailing one
// not. A byte-level tokenizer joins a blank at the prompt's end with the text's first word
// ("query: " + "what" becomes "query" ":" " what"), so this count takes that word out of the pooled
// vector too. A vector that is compared with theirs must do the same.
absl::StatusOr<int64_t> CountPromptTokens(const std::string& prompt,
                                          const PreparationContext& context,
                                          const StopCheck& stop) {
  const absl::StatusOr<Tokenization> alone = context.tokenize(prompt, stop);
  if (!alone.ok()) return alone.status();
  const auto n = static_cast<int64_t>(alone->ids.size());
  return n > 0 && alone->special.back() != 0 ? n - 1 : n;
}

// What a StopCheck answers; the tokenizer's own errors have other codes.
bool IsStop(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) || absl::IsAborted(status);
}

}  // namespace

std::string ContentField(const EncodeInput& input) {
  return input.field + (IsText(input) ? ".text" : ".token_ids");
}

absl::StatusOr<TokenLayout> ReadTokens(const EncodeInput& input, const PreparationContext& context,
                                       const StopCheck& stop,
                                       std::optional<int64_t>* prompt_tokens) {
  if (!IsText(input)) return LayoutOfIds(input.token_ids, context);
  const std::string field = input.field + ".text";
  if (!context.tokenize) {
    return AtField(absl::FailedPreconditionError(
                       "cannot be read: this model has no tokenizer; allowed: token_ids"),
                   field);
  }
  // What `stop` says is no fault of the text's: only an error of the tokenizer names the field.
  absl::StatusOr<Tokenization> tokens = input.prompt.empty()
                                            ? context.tokenize(input.text, stop)
                                            : context.tokenize(input.prompt + input.text, stop);
  if (!tokens.ok())
    return IsStop(tokens.status()) ? tokens.status() : AtField(tokens.status(), field);
  if (context.types.largest() == 0) tokens->types.clear();
  TokenLayout layout = LayoutOfText(*std::move(tokens), static_cast<int64_t>(input.prompt.size()),
                                    CountCharacters(input.prompt));
  if (input.prompt.empty() || context.model->pool_prompt) return layout;
  std::optional<int64_t> counted = prompt_tokens != nullptr ? *prompt_tokens : std::nullopt;
  if (!counted.has_value()) {
    const absl::StatusOr<int64_t> alone = CountPromptTokens(input.prompt, context, stop);
    if (!alone.ok())
      return IsStop(alone.status()) ? alone.status() : AtField(alone.status(), field);
    counted = *alone;
    if (prompt_tokens != nullptr) *prompt_tokens = counted;
  }
  // One token must be left to pool.
  layout.prompt_tokens = std::min(*counted, layout.size() - 1);
  return layout;
}

TokenRange TokensOf(const TokenLayout& layout, TextRange bytes) {
  const auto& offsets = layout.tokens.bytes;
  const auto first = offsets.begin() + layout.body.begin;
  const auto last = offsets.begin() + layout.body.end;
  const auto begin = std::partition_point(
      first, last, [&](const TextRange& token) { return token.end <= bytes.begin; });
  const auto end = std::partition_point(
      begin, last, [&](const TextRange& token) { return token.begin < bytes.end; });
  return {begin - offsets.begin(), end - offsets.begin()};
}

absl::StatusOr<std::vector<TokenRange>> GlobalRanges(const EncodeInput& input,
                                                     const TokenLayout& layout,
                                                     int64_t max_global_tokens) {
  std::vector<TokenRange> asked;
  asked.reserve(input.global_positions.size());
  for (size_t i = 0; i < input.global_positions.size(); ++i) {
    const int64_t position = input.global_positions[i];
    if (position < 0 || position >= layout.size()) {
      return InvalidField(absl::StrCat(input.field, ".global_token_positions[", i, "]"),
                          absl::StrCat("is ", position, "; allowed: below ", layout.size(),
                                       ", the text's token count"));
    }
    asked.push_back({position, position + 1});
  }
  const auto located = LocateCharacters(input.text, input.global_spans);
  if (!located.ok()) return AtField(located.status(), input.field + ".global_attention_spans");
  std::vector<TextRange> bytes;
  bytes.reserve(located->size());
  for (const TextSegment& segment : *located) bytes.push_back(segment.bytes);
  for (const TextRange& words : WidenToWords(input.text, std::move(bytes))) {
    const TokenRange tokens = TokensOf(layout, words);
    if (tokens.size() > 0) asked.push_back(tokens);
  }
  std::sort(asked.begin(), asked.end(),
            [](const TokenRange& a, const TokenRange& b) { return a.begin < b.begin; });
  std::vector<TokenRange> merged;
  for (const TokenRange& range : asked) {
    if (merged.empty() || range.begin > merged.back().end) {
      merged.push_back(range);
    } else {
      merged.back().end = std::max(merged.back().end, range.end);
    }
  }
  int64_t tokens = 0;
  for (const TokenRange& range : merged) tokens += range.size();
  if (max_global_tokens > 0 && tokens > max_global_tokens) {
    return InvalidField(
        input.field +
            (input.global_spans.empty() ? ".global_token_positions" : ".global_attention_spans"),
        absl::StrCat("make ", tokens, " tokens global; allowed: at most ", max_global_tokens));
  }
  return merged;
}

}  // namespace longspan
