// Text preparation: the step between the wire and the queue, on a tokenizer thread. Text becomes
// ids, the truncation policy is applied, ranges of characters become ranges of tokens, and what is
// left is cut into pieces for the encoder. All later stages count in tokens.
//
// A tokenised text is prefix + body + suffix (token_layout.h). Truncation and windows cut the body
// only, each piece gets prefix and suffix (examples in truncation.h). Ids given by the caller are
// cut the same way.
//
// Everything is counted before it is made: the ranges of all pieces, and what they cost together
// (PreparationControl::admit). So what a few bytes of a request ask for, thousands of spans that
// overlap, is refused before it takes memory or time. A text that nobody waits for any more ends
// between two of its parts.
//
// Global spans and vector spans are mapped to the tokens that touch them; global spans are widened
// to whole words first. Global positions that truncation cut off are dropped. A given span of which
// truncation left nothing is INVALID_ARGUMENT.
//
// A free function without state: thread safe. Proven by text_preparation_test.
#pragma once

#include "absl/status/statusor.h"
#include "server/text/encode_input.h"
#include "server/text/preparation_context.h"
#include "server/text/prepared_text.h"

namespace longspan {

// Errors name input.field: "inputs[3].text has 9120 tokens; this model takes at most 4096 (set
// truncation)".
absl::StatusOr<PreparedText> PrepareText(const EncodeInput& input,
                                         const PreparationContext& context,
                                         const PreparationControl& control = {});

}  // namespace longspan
