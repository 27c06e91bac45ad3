// The spans that an input asks for, as ranges of its text and of its tokens: given ones, sentences,
// paragraphs, or so many tokens each. Which part of a cut text holds them is not decided here.
//
// A free function without state: thread safe.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/text/prepared_text.h"
#include "server/text/token_layout.h"

namespace longspan {

absl::StatusOr<std::vector<PreparedSpan>> WantedSpans(const EncodeInput& input,
                                                      const TokenLayout& layout);

}  // namespace longspan
