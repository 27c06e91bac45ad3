// Text preparation: the step between the wire and the queue, on a tokenizer thread: text to ids,
// truncation policy, character ranges to token positions, pieces for the encoder. All later stages
// count in tokens.
//
// A tokenised text is prefix + body + suffix: prefix = special tokens in front and the prompt,
// suffix = special tokens behind. Truncation and windows cut the body only; each piece gets prefix
// and suffix. With room for 8 tokens ([CLS] + 6 + [SEP]) and a
// body of 10:  HEAD [0 6)   TAIL [4 10)   HEAD_TAIL [0 3)+[7 10)   WINDOWS, overlap 2: [0 6) [4 10)   REJECT: INVALID_ARGUMENT.
// Ids given by the caller are cut the same way; their special tokens are recognised where the
// tokenizer's stand at both ends.
//
// Global spans and vector spans are mapped to the tokens that touch them; global spans are widened
// to whole words first. Positions of a truncated part vanish; a given span of which nothing is left
// is INVALID_ARGUMENT. Free functions without state: thread safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "core/token_batch.h"
#include "core/tokenizer/tokenizer.h"
#include "server/text/encode_input.h"
#include "server/text/prepared_text.h"

namespace longspan {

inline constexpr int64_t kMaxSpansPerText = 65536;

struct PreparationContext {
  const ModelInfo* model = nullptr;
  // Tokenizer::Encode with special tokens; empty where the model has no tokenizer (text is then
  // FAILED_PRECONDITION).
  std::function<absl::StatusOr<Tokenization>(std::string_view text)> tokenize;
  std::vector<int32_t> prefix_ids;  // Tokenizer::prefix_ids, suffix_ids
  std::vector<int32_t> suffix_ids;
  // Encoder::Validate; called for each piece.
  std::function<absl::Status(const TokenBatch::Text& text, const EncodeOptions& options)> validate;
  int64_t max_tokens = 0;  // longest text in force, special tokens included; 0 = none
  int64_t max_spans = kMaxSpansPerText;
};

// Errors name input.field: "inputs[3].text has 9120 tokens; this model takes at most 4096 (set
// truncation)".
absl::StatusOr<PreparedText> PrepareText(const EncodeInput& input,
                                         const PreparationContext& context);

}  // namespace longspan
