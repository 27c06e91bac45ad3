// Segments of a text: its sentences, its paragraphs, and the byte ranges of given character ranges.
//
// Paragraphs are what blank lines, Markdown and HTML set apart (paragraphs.h), sentences what ICU's
// rules and lists of abbreviations find in them (sentences.h); docs/spans.md shows both. White
// space around a segment is left out; empty segments do not exist, and every other character is in
// one. Each function passes over the text a few times at most: its cost is linear in the text and,
// but for a sort, in the number of ranges. Memory does not grow with the text.
//
// Texts must be valid UTF-8 (the wire checks it). Free functions without state: thread safe. Proven
// by text_segments_test, sentences_test and the fuzz target spans_fuzz.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/tokenizer/tokenizer.h"

namespace longspan {

// One range of a text in both units.
struct TextSegment {
  TextRange bytes;
  TextRange characters;
  friend bool operator==(const TextSegment&, const TextSegment&) = default;
};

// Calls `visit` for each segment in order, until it answers false. A segment is looked for when the
// one before it was wanted. INTERNAL where ICU's data cannot be read (LoadSentenceRules). `stop` is
// asked now and then, within some milliseconds; what it says against going on is returned.
using VisitSegment = std::function<bool(const TextSegment& segment)>;
absl::Status ForEachSentence(std::string_view text, const VisitSegment& visit,
                             const StopCheck& stop = {});
absl::Status ForEachParagraph(std::string_view text, const VisitSegment& visit,
                              const StopCheck& stop = {});

// Byte ranges of character ranges, in the order given. INVALID_ARGUMENT for an empty range or one
// outside the text; its message begins with the range's index, "[i] is characters ...", so that the
// caller can put a field's path in front.
absl::StatusOr<std::vector<TextSegment>> LocateCharacters(std::string_view text,
                                                          const std::vector<TextRange>& ranges);

// The byte ranges widened to whole words, ascending; those that overlap or touch are one. A word is
// a run of letters, digits and _ of scripts that write spaces between words. Chinese and Japanese
// characters belong to no word. However many ranges lie in a word, its letters are looked at once
// or twice. `looked_at`, where it is not null, is raised by the number of code points looked at.
std::vector<TextRange> WidenToWords(std::string_view text, std::vector<TextRange> ranges,
                                    int64_t* looked_at = nullptr);

// The number of Unicode code points.
int64_t CountCharacters(std::string_view text);

}  // namespace longspan
