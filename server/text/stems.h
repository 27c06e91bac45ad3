// The stems of words for lexical search, by Snowball (https://snowballstem.org): "ruling" and
// "ruled" both become "rule". A language's rules know only its own words; "none" leaves words as
// they are.
//
//   Stemmer::Create("english") -> Stem("rulings")   "rule"
//
// Thread safety: none; a stemmer for each thread. Proven by stems_test.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct sb_stemmer;  // of libstemmer

namespace longspan {

inline constexpr std::string_view kDefaultStemLanguage = "english";
inline constexpr std::string_view kNoStemLanguage = "none";

class Stemmer {
 public:
  // "none" and Snowball's languages, in order of the alphabet.
  static const std::vector<std::string>& Languages();

  // INVALID_ARGUMENT where Languages() has no such language; empty = english.
  static absl::StatusOr<Stemmer> Create(std::string_view language);

  // Of a word as WordReader folds it. It lives until the next call, and no longer than
  // `folded_word`. An apostrophe is what a keyboard types as well as U+2019. A word that no memory
  // is left for is its own stem.
  std::string_view Stem(std::string_view folded_word);

 private:
  struct Delete {
    void operator()(sb_stemmer* rules) const;
  };
  explicit Stemmer(sb_stemmer* rules) : rules_(rules) {}

  std::unique_ptr<sb_stemmer, Delete> rules_;  // null: words as they are
  std::string plain_;                          // the word with plain apostrophes
};

}  // namespace longspan
