// A part of a text as ICU's sentence rules shall see it: UTF-16, in which each code point stands
// for one of the text. Some are changed: white space, markers of quotes and tags of blocks are
// blanks, and what closes a sentence without being punctuation ("**", "[1]", "</b>") is a bracket.
//
// Not thread safe. Proven by text_segments_test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace longspan {

class SentenceBlock {
 public:
  // Units of a block. Sentences of more are rare, and a block costs 100 KiB with what ICU holds.
  static constexpr size_t kMaxUnits = 16384;

  // Fills the block with the text from the byte `begin` on.
  void Load(std::string_view text, size_t begin);

  std::u16string_view units() const { return units_; }
  // The same for ICU alone: a number or dash that follows a stop and white space is a capital
  // letter, as ICU ends no sentence before "5 men" or "- Yes".
  std::u16string_view icu_units() const { return icu_units_; }
  int32_t size() const { return static_cast<int32_t>(units_.size()); }
  bool reaches_end() const { return reaches_end_; }  // of the text

  // The byte of the text at which a unit stands. `unit` must not fall from call to call.
  size_t ByteOf(int32_t unit);

 private:
  void MarkClosers();
  void MarkBeginnings();
  size_t CloserEnd(size_t at) const;

  std::string_view text_;
  std::u16string units_, icu_units_;
  bool reaches_end_ = false;
  // How far ByteOf has come.
  size_t byte_ = 0;
  int32_t unit_ = 0;
};

// Whether the unit ends a sentence, as the block has it.
bool IsStop(char16_t c);

}  // namespace longspan
