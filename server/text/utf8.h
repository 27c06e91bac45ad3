// Reading UTF-8 code point by code point.
//
// Texts must be valid UTF-8 (the wire checks it): the lead byte then tells how many bytes a code
// point takes. Bytes that are none are read as something, and never past the end. Plain values and
// free functions without state: thread safe.
#pragma once

#include <unicode/uchar.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace longspan {

class Utf8Cursor {
 public:
  explicit Utf8Cursor(std::string_view text, size_t byte = 0) : text_(text), byte_(byte) {}
  bool done() const { return byte_ >= text_.size(); }
  int64_t byte() const { return static_cast<int64_t>(byte_); }
  int64_t character() const { return character_; }  // code points that Next passed

  char32_t Peek() const { return Decode(byte_); }
  void Next() {
    byte_ = std::min(byte_ + Length(byte_), text_.size());
    ++character_;
  }

 private:
  size_t Length(size_t at) const {
    const auto lead = static_cast<unsigned char>(text_[at]);
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  }
  char32_t Decode(size_t at) const {
    const size_t length = Length(at);
    const auto lead = static_cast<unsigned char>(text_[at]);
    if (length == 1 || at + length > text_.size()) return lead;
    char32_t value = lead & (0xff >> (length + 1));
    for (size_t i = 1; i < length; ++i)
      value = (value << 6) | (static_cast<unsigned char>(text_[at + i]) & 0x3f);
    return value;
  }

  std::string_view text_;
  size_t byte_ = 0;
  int64_t character_ = 0;
};

// White space as Unicode has it (the property White_Space).
inline bool IsBlank(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0;
}

// First byte of the code point before `at`, which is above 0.
inline size_t PreviousCodePoint(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

// [begin, end) without the white space at both ends.
inline void TrimBlanks(std::string_view text, size_t* begin, size_t* end) {
  for (Utf8Cursor at(text, *begin); *begin < *end && IsBlank(at.Peek());
       at.Next(), *begin = static_cast<size_t>(at.byte())) {
  }
  while (*end > *begin) {
    const size_t last = PreviousCodePoint(text, *end);
    if (!IsBlank(Utf8Cursor(text, last).Peek())) break;
    *end = last;
  }
}

}  // namespace longspan
