// Truncation: which ranges of a text's body are read. A body of 10 tokens in a model that takes 8,
// [CLS] + 6 + [SEP]:
//
//   HEAD                  [0 6)
//   TAIL                  [4 10)
//   HEAD_TAIL             [0 3) + [7 10)
//   WINDOWS, overlap 2    [0 6) and [4 10), two pieces
//   REJECT                INVALID_ARGUMENT
//
// A free function without state: thread safe.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/text/token_layout.h"

namespace longspan {

// One entry per piece: the ranges of the body that it holds, one or two (HEAD_TAIL), in tokens of
// the whole text.
using BodyRanges = std::vector<std::vector<TokenRange>>;

// All of the body in one piece where the text fits into max_tokens (0 = no bound).
// INVALID_ARGUMENT: a text that is too long and may not be cut, or windows with too much overlap.
// `who` is what sets the bound, for the message: "this model", "this server's memory".
absl::StatusOr<BodyRanges> Truncate(const EncodeInput& input, const TokenLayout& layout,
                                    int64_t max_tokens, std::string_view who = "this model");

}  // namespace longspan
