// Words that a full stop follows without ending the sentence, in all languages at once: the
// language of a text is not known, and many texts have several.
//
// They are ICU's suppressions (CLDR's lists for German, English, Spanish, French, Italian,
// Portuguese and Russian) and the lists of abbreviations.cc for what ICU lacks, less the words that
// are ordinary ones, in their own language or another ("out." is October in Portuguese). ICU's own
// FilteredBreakIterator is not used: it takes one language, matches the ends of words (the "No." in
// "Casino. He"), and never ends a sentence at "U.S.".
//
// Words are given without their last full stop and are looked up as they are written; one with a
// capital first letter also as it is written inside a sentence ("Vgl" for "vgl").
//
// Constant once loaded: thread safe. Proven by sentences_test.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>

#include "absl/status/statusor.h"

namespace longspan {

class Abbreviations {
 public:
  // Reads ICU's data. INTERNAL where it cannot be read.
  static absl::StatusOr<Abbreviations> Load();

  // "etc", "Inc", "u.a": ends a sentence only where the next word begins one for certain.
  bool IsAbbreviation(std::u16string_view word) const { return Has(abbreviations_, word); }
  // "Dr", "e.g": something belongs to it, so that no sentence ends there.
  bool NeverEnds(std::u16string_view word) const { return Has(never_end_, word); }
  // "No", "Art": an abbreviation before a number, and an ordinary word elsewhere.
  bool StandsBeforeNumbers(std::u16string_view word) const { return Has(before_numbers_, word); }
  // "usw", "etc": most often the last word, so that a sentence ends before any capital letter.
  bool MostlyEnds(std::u16string_view word) const { return Has(mostly_end_, word); }
  // "The", "Er": begins a sentence where it has a capital letter and follows a full stop.
  bool BeginsSentences(std::u16string_view word) const {
    return starters_.contains(std::u16string(word));
  }
  // "Oktober", "Jahrhundert": what an ordinal stands before in the languages that write it with a
  // full stop.
  bool FollowsOrdinals(std::u16string_view word) const {
    return after_ordinals_.contains(std::u16string(word));
  }

 private:
  using Words = std::unordered_set<std::u16string>;
  static bool Has(const Words& words, std::u16string_view word);

  absl::Status LoadSuppressions();
  void AddOurs();

  Words abbreviations_, never_end_, before_numbers_, mostly_end_, starters_, after_ordinals_;
};

}  // namespace longspan
