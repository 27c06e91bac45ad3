#include "server/text/text_segments.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// Reads a text code point by code point. The text is valid UTF-8, so the lead byte tells how many
// bytes a code point takes.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  bool done() const { return byte_ >= text_.size(); }
  int64_t byte() const { return static_cast<int64_t>(byte_); }
  int64_t character() const { return character_; }

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

// ASCII white space, the no-break space, the blanks of typesetting and the ideographic space.
bool IsSpace(char32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || c == 0x3000 ||
         (c >= 0x2000 && c <= 0x200a);
}
bool IsStop(char32_t c) { return c == '.' || c == '!' || c == '?' || c == 0x2026; }  // 0x2026 = …
bool IsWideStop(char32_t c) { return c == 0x3002 || c == 0xff01 || c == 0xff1f; }    // 。！？
// Lower-case letters of English, of the languages of Latin-1, and of Russian.
bool IsLower(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 0xdf && c <= 0xff) || (c >= 0x430 && c <= 0x44f);
}
// Letters of scripts that write spaces between words, Hangul among them. CJK ideographs are not
// words: a range of them is not widened.
bool IsWord(char32_t c) {
  if (c < 0x80)
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  return (c >= 0xc0 && c < 0x2000) || (c >= 0xac00 && c < 0xd7b0);
}
// Closing quotes and brackets: " ' ) ] ” ’ » 」 』
bool IsCloser(char32_t c) {
  return c == '"' || c == '\'' || c == ')' || c == ']' || c == 0x201d || c == 0x2019 || c == 0xbb ||
         c == 0x300d || c == 0x300f;
}

// The segment that is being read. It is handed the characters that are not white space, so a
// segment ends at the last of them.
class SegmentBuilder {
 public:
  explicit SegmentBuilder(const VisitSegment& visit) : visit_(visit) {}
  void Take(const Cursor& at, const Cursor& after) {
    if (!open_) current_ = {{at.byte(), 0}, {at.character(), 0}};
    open_ = true;
    current_.bytes.end = after.byte();
    current_.characters.end = after.character();
  }
  // False: no further segment is wanted.
  bool Close() { return !std::exchange(open_, false) || visit_(current_); }

 private:
  const VisitSegment& visit_;
  bool open_ = false;
  TextSegment current_;
};

void Split(std::string_view text, bool at_sentences, const VisitSegment& visit) {
  SegmentBuilder builder(visit);
  Cursor cursor(text);
  bool after_stop = false;  // a stop was read, and nothing but closing quotes and brackets since
  while (!cursor.done()) {
    if (!IsSpace(cursor.Peek())) {
      const Cursor at = cursor;
      const char32_t c = cursor.Peek();
      cursor.Next();
      builder.Take(at, cursor);
      after_stop = IsStop(c) || (after_stop && IsCloser(c));
      if (at_sentences && IsWideStop(c) && (cursor.done() || !IsCloser(cursor.Peek())) &&
          !builder.Close())
        return;
      continue;
    }
    int newlines = 0;
    for (; !cursor.done() && IsSpace(cursor.Peek()); cursor.Next())
      newlines += cursor.Peek() == '\n';
    const bool sentence_ends =
        at_sentences && after_stop && (cursor.done() || !IsLower(cursor.Peek()));
    if ((newlines >= 2 || sentence_ends) && !builder.Close()) return;
    after_stop = false;
  }
  builder.Close();
}

// Widens one range at a time.
class Widener {
 public:
  explicit Widener(std::string_view text) : text_(text), size_(static_cast<int64_t>(text.size())) {}

  // `begin`, moved back to where its word begins. Must not be inside a code point.
  int64_t Begin(int64_t begin) {
    if (!IsWordAt(begin)) return begin;
    while (begin > 0 && IsWordAt(Previous(begin))) begin = Previous(begin);
    return begin;
  }
  // `end`, moved on to where the word that it lies in ends.
  int64_t End(int64_t end) {
    if (!IsWordAt(Previous(end))) return end;
    while (end < size_ && IsWordAt(end)) {
      Cursor cursor(text_.substr(end));
      cursor.Next();
      end += cursor.byte();
    }
    return end;
  }
  int64_t looked_at() const { return looked_at_; }

 private:
  // First byte of the code point before `at`.
  int64_t Previous(int64_t at) const {
    do --at;
    while (at > 0 && (static_cast<unsigned char>(text_[at]) & 0xc0) == 0x80);
    return at;
  }
  bool IsWordAt(int64_t at) {
    ++looked_at_;
    return IsWord(Cursor(text_.substr(at)).Peek());
  }

  const std::string_view text_;
  const int64_t size_;
  int64_t looked_at_ = 0;
};

}  // namespace

void ForEachSentence(std::string_view text, const VisitSegment& visit) { Split(text, true, visit); }
void ForEachParagraph(std::string_view text, const VisitSegment& visit) {
  Split(text, false, visit);
}

std::vector<TextRange> WidenToWords(std::string_view text, std::vector<TextRange> ranges,
                                    int64_t* looked_at) {
  std::sort(ranges.begin(), ranges.end(),
            [](const TextRange& a, const TextRange& b) { return a.begin < b.begin; });
  Widener widener(text);
  std::vector<TextRange> widened;
  for (const TextRange& range : ranges) {
    // What begins inside the last range, or right behind it, has no begin of its own to look for:
    // that range ends where a word ends.
    if (!widened.empty() && range.begin <= widened.back().end) {
      if (range.end > widened.back().end) widened.back().end = widener.End(range.end);
      continue;
    }
    const int64_t begin = widener.Begin(range.begin);
    const int64_t end = widener.End(range.end);
    if (!widened.empty() && begin <= widened.back().end) {
      widened.back().end = end;
    } else {
      widened.push_back({begin, end});
    }
  }
  if (looked_at != nullptr) *looked_at += widener.looked_at();
  return widened;
}

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

absl::StatusOr<std::vector<TextSegment>> LocateCharacters(std::string_view text,
                                                          const std::vector<TextRange>& ranges) {
  const int64_t num_characters = CountCharacters(text);
  // Every begin and end, ascending: one pass over the text then finds the bytes of all of them.
  std::vector<int64_t> marks;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const TextRange& range = ranges[i];
    if (range.begin < 0 || range.end <= range.begin || range.end > num_characters) {
      return absl::InvalidArgumentError(
          absl::StrCat("[", i, "] is characters ", range.begin, "..", range.end,
                       "; allowed: begin < end <= ", num_characters, ", the text's length"));
    }
    marks.push_back(range.begin);
    marks.push_back(range.end);
  }
  std::sort(marks.begin(), marks.end());
  marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
  std::vector<int64_t> bytes;  // of each mark
  Cursor cursor(text);
  for (const int64_t mark : marks) {
    while (cursor.character() < mark) cursor.Next();
    bytes.push_back(cursor.byte());
  }
  const auto byte_of = [&](int64_t c) {
    return bytes[std::lower_bound(marks.begin(), marks.end(), c) - marks.begin()];
  };
  std::vector<TextSegment> located;
  located.reserve(ranges.size());
  for (const TextRange& range : ranges)
    located.push_back({{byte_of(range.begin), byte_of(range.end)}, range});
  return located;
}

}  // namespace longspan
