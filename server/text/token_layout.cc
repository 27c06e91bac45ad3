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
                                          const PreparationContext& context) {
  const absl::StatusOr<Tokenization> alone = context.tokenize(prompt);
  if (!alone.ok()) return alone.status();
  const auto n = static_cast<int64_t>(alone->ids.size());
  return n > 0 && alone->special.back() != 0 ? n - 1 : n;
}

}  // namespace

std::string ContentField(const EncodeInput& input) {
  return input.field + (IsText(input) ? ".text" : ".token_ids");
}

absl::StatusOr<TokenLayout> ReadTokens(const EncodeInput& input,
                                       const PreparationContext& context) {
  if (!IsText(input)) return LayoutOfIds(input.token_ids, context);
  if (!context.tokenize) {
    return AtField(absl::FailedPreconditionError(
                       "cannot be read: this model has no tokenizer; allowed: token_ids"),
                   input.field + ".text");
  }
  absl::StatusOr<Tokenization> tokens = input.prompt.empty()
                                            ? context.tokenize(input.text)
                                            : context.tokenize(input.prompt + input.text);
  if (!tokens.ok()) return AtField(tokens.status(), input.field + ".text");
  if (context.types.largest() == 0) tokens->types.clear();
  TokenLayout layout = LayoutOfText(*std::move(tokens), static_cast<int64_t>(input.prompt.size()),
                                    CountCharacters(input.prompt));
  if (input.prompt.empty() || context.model->pool_prompt) return layout;
  const absl::StatusOr<int64_t> prompt_tokens = CountPromptTokens(input.prompt, context);
  if (!prompt_tokens.ok()) return AtField(prompt_tokens.status(), input.field + ".text");
  // One token must be left to pool.
  layout.prompt_tokens = std::min(*prompt_tokens, layout.size() - 1);
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

absl::StatusOr<std::vector<int32_t>> GlobalPositions(const EncodeInput& input,
                                                     const TokenLayout& layout) {
  std::vector<int32_t> positions = input.global_positions;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] < 0 || positions[i] >= layout.size()) {
      return InvalidField(absl::StrCat(input.field, ".global_token_positions[", i, "]"),
                          absl::StrCat("is ", positions[i], "; allowed: below ", layout.size(),
                                       ", the text's token count"));
    }
  }
  const auto located = LocateCharacters(input.text, input.global_spans);
  if (!located.ok()) return AtField(located.status(), input.field + ".global_attention_spans");
  for (const TextSegment& segment : *located) {
    const TokenRange tokens = TokensOf(layout, WidenToWords(input.text, segment.bytes));
    for (int64_t t = tokens.begin; t < tokens.end; ++t)
      positions.push_back(static_cast<int32_t>(t));
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

}  // namespace longspan
