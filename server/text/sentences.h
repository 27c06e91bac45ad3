// Sentences of prose, by ICU's sentence rules (Unicode's UAX #29, all scripts) and by what ICU does
// not know:
//
//   - an abbreviation, an initial or an ordinal before its full stop (abbreviations.h) ends a
//     sentence only where the next word begins one for certain: "in the U.S. He left."
//   - no sentence begins with a lower-case letter: "Stop!" he said.
//   - the number of a list or heading belongs to its first sentence: "1. First do this."
//   - a line feed within prose is a blank, as are markers of quotes and HTML's tags of blocks;
//     ** __ ` [1] </b> that close behind a full stop belong to it.
//   - … is a full stop; so is ; behind Greek, where it is the question mark.
//
// The text is looked at in blocks of UTF-16, which is what ICU works on, so memory is bounded.
// Where a block holds no end of a sentence, the next block goes on with the same sentence behind
// the last blank. Each part of a text is in a few blocks at most, so the cost is linear.
//
// Texts must be valid UTF-8. Nothing depends on the locale of the machine. Proven by
// sentences_test, text_segments_test and spans_without_icu_data.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/tokenizer/tokenizer.h"

namespace longspan {

// Loads ICU's rules and words, once for the process. INTERNAL, with what is missing, where ICU's
// data cannot be read. Thread safe. A server calls it at start; the others may leave it out.
absl::Status LoadSentenceRules();

// Not thread safe: one for each call. Cheap to make (a copy of ICU's iterator, which all share).
class SentenceSplitter {
 public:
  // The error of LoadSentenceRules.
  static absl::StatusOr<std::unique_ptr<SentenceSplitter>> Create();
  virtual ~SentenceSplitter() = default;

  // Calls `end` with the byte behind each sentence but the last, ascending, until it answers false.
  // White space between two sentences is behind that byte. False: `end` answered false. `stop` is
  // asked before each block of the text; what it says against going on is returned.
  virtual absl::StatusOr<bool> Split(std::string_view prose,
                                     const std::function<bool(size_t end)>& end,
                                     const StopCheck& stop) = 0;
};

}  // namespace longspan
