// The spans that an input asks for, as ranges of its text and of its tokens: given ones, sentences,
// paragraphs (both of a wanted size: span_sizes.h), or a fixed number of tokens each. Which pieces
// hold them is decided later (text_preparation.cc), so `parts` of each span is still empty.
//
// A free function without state: thread safe.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/text/prepared_text.h"
#include "server/text/token_layout.h"

namespace longspan {

// In the order given, or in the order of the text. INVALID_ARGUMENT names the given span that is
// empty, outside the text, or touches no token, or says that there are more than max_spans; these
// are never made.
// What `stop`, asked now and then, says against going on is returned.
absl::StatusOr<std::vector<PreparedSpan>> WantedSpans(const EncodeInput& input,
                                                      const TokenLayout& layout, int64_t max_spans,
                                                      const StopCheck& stop = {});

}  // namespace longspan
