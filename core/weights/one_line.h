// OneLine: makes the text of an error fit for one line of a log, where the text quotes strings of a
// file of strangers. Control characters become '?'. Of a text of more than a thousand bytes the
// middle is left out, between two UTF-8 characters: its beginning names the place, its end the
// cause. A pure function.
#pragma once

#include <string>

namespace longspan {

inline std::string OneLine(std::string text) {
  constexpr size_t kMostBytes = 1000;
  constexpr size_t kKeptEachSide = (kMostBytes - 3) / 2;
  const auto is_inside = [&text](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  if (text.size() > kMostBytes) {
    size_t end = kKeptEachSide, resume = text.size() - kKeptEachSide;
    while (end > 0 && is_inside(end)) --end;
    while (resume < text.size() && is_inside(resume)) ++resume;
    text.replace(end, resume - end, "...");
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return text;
}

}  // namespace longspan
