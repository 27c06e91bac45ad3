// The lexical vectors of a text and of its spans (lexical_vector.h), from its words (words.h) by
// their stems (stems.h).
//
// A text's vector has the words that begin in what is read of it (PreparedText::used_text), a
// span's those that begin in the span, so that spans that divide a text divide its words. Words are
// read from the whole text, and the prompt has none. The typographic apostrophe U+2019 counts as
// the one that keyboards type.
//
// A free function without state: thread safe. Proven by lexical_preparation_test.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "server/text/encode_input.h"
#include "server/text/prepared_text.h"

namespace longspan {

// Spans may overlap. All spans of a text may hold this many times its words together, or
// kFreeSpanWords, so that a small request costs little.
inline constexpr int64_t kMostSpanWordsOfAWord = 16;
inline constexpr int64_t kFreeSpanWords = 65536;

// Adds the vectors that input.lexical asks for to what PrepareText made of the input; nothing where
// it asks for none. INVALID_ARGUMENT where the spans hold too many words. What `stop`, asked now
// and then, says against going on is returned.
absl::Status AddLexicalVectors(const EncodeInput& input, const StopCheck& stop,
                               PreparedText* prepared);

}  // namespace longspan
