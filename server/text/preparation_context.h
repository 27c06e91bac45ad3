// PreparationContext: what text preparation has to know of the served model: its values, its
// tokenizer, and the check that the encoder makes of each piece. Functions instead of a Tokenizer
// and an Encoder, so that tests can prepare texts without a model.
//
// Filled once before the first text, then constant. Both functions are called from several threads
// at once.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/encoder.h"
#include "core/model_info.h"
#include "core/text_shape.h"
#include "core/token_batch.h"
#include "core/tokenizer/tokenizer.h"

namespace longspan {

// Most spans of one text. Each is a vector of the answer: 65,536 vectors of 768 float32 values are
// 192 MiB.
inline constexpr int64_t kMaxSpansPerText = 65536;
// Most vectors that the spans of one text are joined from: a span across windows takes one of each
// window that it touches.
inline constexpr int64_t kMaxSpanParts = 2 * kMaxSpansPerText;

struct PreparationContext {
  const ModelInfo* model = nullptr;

  // Tokenizer::Encode with special tokens. Empty where the model has no tokenizer: a text is then
  // FAILED_PRECONDITION, token ids still work.
  std::function<absl::StatusOr<Tokenization>(std::string_view text, const StopCheck& stop)>
      tokenize;
  std::vector<int32_t> prefix_ids;  // Tokenizer::prefix_ids
  std::vector<int32_t> suffix_ids;  // Tokenizer::suffix_ids
  Tokenizer::TokenTypes types;      // Tokenizer::types, where the model has token types

  // Encoder::Validate, called for each piece. Empty = no check.
  std::function<absl::Status(const TokenBatch::Text& text, const EncodeOptions& options)> validate;

  int64_t max_tokens = 0;  // longest text in force, special tokens included; 0 = no bound
  int64_t max_spans = kMaxSpansPerText;
  // Most global tokens of one text; 0 = no bound.
  int64_t max_global_tokens = 0;
  // Most tokens and bytes of all independent spans of a text together, each counted with prompt and
  // special tokens; 0 = no bound. A text may have as many as it has itself.
  int64_t max_independent_tokens = 0;
  int64_t max_independent_bytes = 0;
};

// How the preparation of one text is steered from outside. Each function may be empty.
struct PreparationControl {
  // Why the text is not wanted any more (cancelled, deadline passed); OK = go on. Asked at bounded
  // intervals: between the parts of a long text and the spans that are tokenised.
  StopCheck stop;
  // Told the shapes of the pieces before any of them is made, and the tokens of the whole text. An
  // error ends the preparation. The lengths of independent spans of a text are estimates there.
  std::function<absl::Status(std::span<const TextShape> shapes, int64_t tokens_total)> admit;
};

}  // namespace longspan
