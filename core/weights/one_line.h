// OneLine: makes the text of an error fit for one line of a log, where the text quotes strings of a
// file of strangers. Control characters become '?', and a text of more than a thousand bytes is cut
// between two UTF-8 characters. A pure function.
#pragma once

#include <string>

namespace longspan {

inline std::string OneLine(std::string text) {
  constexpr size_t kMostBytes = 1000;
  if (text.size() > kMostBytes) {
    size_t end = kMostBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
    text += "...";
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return text;
}

}  // namespace longspan
