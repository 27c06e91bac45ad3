// Between which characters a text may be cut so that its parts, tokenised one by one, give the
// tokens of the whole. text_chunks.h says how the cuts are used and why each rule is exact;
// tokenizer_json.cc finds out which of them hold for a tokenizer. Pure functions of the text.
// Thread safety: const methods may be called from many threads at once. Proven by
// tokenizer_chunks_test.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace longspan {

// A letter that normalisers keep to itself: it has no decomposition but one into a letter and marks
// behind it, it composes with nothing in front of it, and all versions of Unicode since 3.2 call it
// a letter (general category Lu, Ll or Lo).
bool IsPlainLetter(char32_t c);

struct CutRules {
  bool blanks = false;            // rule 1, in front of " "
  bool line_breaks = false;       // rule 1, in front of "\n" and "\t"
  bool ascii_letters = false;     // rule 1 holds between ASCII letters only,
  bool letters = false;           // or between letters only
  bool bert_punctuation = false;  // rule 2
  bool ideographs = false;        // rule 3
  bool symbols = false;           // rule 4
  // Rules 2 and 4 hold also in front of "_", and rule 4 between a letter and a digit.
  bool word_neighbours = true;
  // The pre-tokeniser makes one character of each byte; without a token for each, a text may have
  // characters that give no token.
  bool byte_level = false;
  // It puts a blank in front of each piece, also behind an added token. Then the character in front
  // of `left` must belong to the same piece as `left`.
  bool prefixes = false;

  // What added tokens forbid. ASCII in tables, the rest in a sorted list.
  std::array<std::bitset<128>, 128> ascii_pairs;          // neighbours inside of a token
  std::vector<std::pair<char32_t, char32_t>> wide_pairs;  // likewise, where one is not ASCII
  std::bitset<128> ends_rstrip;    // last characters of tokens that take the blanks behind them
  std::bitset<128> begins_lstrip;  // first characters of tokens that take the blanks before them

  std::bitset<128> ends_token;   // last characters of added tokens
  bool wide_ends_token = false;  // some of them may be beyond ASCII
  bool any_rstrip = false;

  bool Any() const { return blanks || bert_punctuation || ideographs || symbols; }
  // Whether `text` (UTF-8) may be cut in front of byte `at`. Looks at two characters before that
  // byte, at the one that begins there and the one behind it. False where they are no UTF-8.
  bool Allow(std::string_view text, size_t at) const;

  // Forbids all cuts between two neighbours of `token`, an added token's content.
  void ForbidInside(std::string_view token);
  void ForbidPair(char32_t left, char32_t right);
  void Seal();  // after the last ForbidInside and ForbidPair

 private:
  bool Forbids(char32_t left, char32_t right) const;
  bool AllowsBlank(char32_t left, char32_t blank, char32_t right) const;
  bool InThePieceOf(char32_t before) const;
  bool AllowsBorder(char32_t left, char32_t right, char32_t behind) const;
};

}  // namespace longspan
