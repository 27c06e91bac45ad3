// OneLine: an error's text that quotes strings of a file of strangers, made fit for one line of a
// log: control characters become '?', and what is longer than a thousand bytes is cut (between
// UTF-8 characters).
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
