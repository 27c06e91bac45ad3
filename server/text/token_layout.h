// TokenLayout: the tokens of one input, and where its body lies among them: prefix + body + suffix.
// The prefix is the special tokens in front and the prompt, the suffix the special tokens behind:
//
//   prompt "query:", text "what is this"      prefix            body            suffix
//                                             [CLS] query :     what is this    [SEP]
//
// Truncation, spans and global positions all count in the tokens of this layout.
//
// Plain values and free functions without state: thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/token_batch.h"
#include "core/tokenizer/tokenizer.h"
#include "server/text/encode_input.h"
#include "server/text/preparation_context.h"

namespace longspan {

struct TokenLayout {
  Tokenization tokens;        // [n]; byte and character offsets are of the text without the prompt
  TokenRange body;            // [0, body.begin) is the prefix, [body.end, n) the suffix
  int64_t prompt_tokens = 0;  // leading tokens that take no part in pooling

  int64_t size() const { return static_cast<int64_t>(tokens.ids.size()); }  // n
  int64_t frame() const { return size() - body.size(); }  // tokens of prefix and suffix
};

inline bool IsText(const EncodeInput& input) { return !input.text.empty(); }
std::string ContentField(const EncodeInput& input);  // "inputs[3].text", "inputs[3].token_ids"

// Tokenises the input's text behind its prompt, or takes its ids. Ids begin and end with special
// tokens where they begin with the tokenizer's prefix_ids and end with its suffix_ids; otherwise
// all of them are body. Ids have the types that the tokenizer would give them.
// `prompt_tokens`: the tokens of the prompt alone, where an earlier call counted them; it is filled
// in where they are counted here. Null = they are not kept.
absl::StatusOr<TokenLayout> ReadTokens(const EncodeInput& input, const PreparationContext& context,
                                       const StopCheck& stop = {},
                                       std::optional<int64_t>* prompt_tokens = nullptr);

// Tokens of the body that share at least one byte with `bytes` of the text.
TokenRange TokensOf(const TokenLayout& layout, TextRange bytes);

// The ranges of the global tokens that the input asks for, by position or by characters (widened to
// whole words), ascending; ranges that overlap or touch are one. However many are asked for, the
// work is O(text + asked log asked). INVALID_ARGUMENT names a position or span outside the text, or
// says that there are more than max_global_tokens (0 = no bound).
absl::StatusOr<std::vector<TokenRange>> GlobalRanges(const EncodeInput& input,
                                                     const TokenLayout& layout,
                                                     int64_t max_global_tokens);

}  // namespace longspan
