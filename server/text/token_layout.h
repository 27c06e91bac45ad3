// TokenLayout: the tokens of one input and where its body lies: prefix + body + suffix, prefix =
// special tokens in front and the prompt, suffix = special tokens behind. What is cut, spans and
// global positions all count in its tokens.
//
// Plain values and free functions without state: thread safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/token_batch.h"
#include "core/tokenizer/tokenizer.h"
#include "server/text/encode_input.h"
#include "server/text/text_preparation.h"

namespace longspan {

// [0, body.begin) is the prefix, [body.end, n) the suffix. Offsets are of the text without the
// prompt.
struct TokenLayout {
  Tokenization tokens;
  TokenRange body;
  int64_t prompt_tokens = 0;  // leading tokens that take no part in pooling
  int64_t size() const { return static_cast<int64_t>(tokens.ids.size()); }
  int64_t frame() const { return size() - body.size(); }
};

inline bool IsText(const EncodeInput& input) { return !input.text.empty(); }
std::string ContentField(const EncodeInput& input);  // "inputs[3].text", "inputs[3].token_ids"

// Reads the input's text, or takes its ids: special tokens of the caller are recognised where the
// tokenizer's own stand at both ends.
absl::StatusOr<TokenLayout> ReadTokens(const EncodeInput& input, const PreparationContext& context);

// Tokens of the body that share at least one byte with `bytes` of the text.
TokenRange TokensOf(const TokenLayout& layout, TextRange bytes);

// Every global token that the input asks for, by position or by characters (widened to whole
// words), in order, each once.
absl::StatusOr<std::vector<int32_t>> GlobalPositions(const EncodeInput& input,
                                                     const TokenLayout& layout);

}  // namespace longspan
