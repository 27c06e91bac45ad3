// Parts of a text by its own marks: sentences, paragraphs, and the byte ranges of given character
// ranges.
//
// Rules (no dictionary, any language): a sentence ends after one of . ! ? and any closing quotes or
// brackets when white space and no lower-case letter follows ("e.g. this" goes on), at once after
// the full stops of Chinese and Japanese, and at a blank line. A paragraph ends at a blank line.
// White space around a segment is left out; empty segments do not exist. One pass each, linear in
// the text. Free functions without state: thread safe.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tokenizer/tokenizer.h"

namespace longspan {

struct TextSegment {
  TextRange bytes;
  TextRange characters;
  friend bool operator==(const TextSegment&, const TextSegment&) = default;
};

std::vector<TextSegment> SplitSentences(std::string_view text);
std::vector<TextSegment> SplitParagraphs(std::string_view text);

// Byte ranges of character ranges, in the order given. INVALID_ARGUMENT "[i] ..." for an empty
// range or one outside the text.
absl::StatusOr<std::vector<TextSegment>> LocateCharacters(std::string_view text,
                                                          const std::vector<TextRange>& ranges);

// A byte range widened to whole words: runs of letters, digits and _ of scripts that write spaces
// between words.
TextRange WidenToWords(std::string_view text, TextRange bytes);

int64_t CountCharacters(std::string_view text);

}  // namespace longspan
