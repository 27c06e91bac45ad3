#include "server/text/text_segments.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/text/paragraphs.h"
#include "server/text/sentences.h"
#include "server/text/utf8.h"

namespace longspan {
namespace {

constexpr int64_t kBytesBetweenStops = 16'384;

// Letters of scripts that write spaces between words, Hangul among them. CJK ideographs are not
// words: a range of them is not widened.
bool IsWord(char32_t c) {
  if (c < 0x80)
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  return (c >= 0xc0 && c < 0x2000) || (c >= 0xac00 && c < 0xd7b0);
}

// Hands on ranges of bytes that ascend, without the white space at their ends, and counts their
// characters.
class SegmentWriter {
 public:
  SegmentWriter(std::string_view text, const VisitSegment& visit)
      : text_(text), visit_(visit), at_(text) {}
  // False: no further segment is wanted.
  bool Write(size_t begin, size_t end) {
    TrimBlanks(text_, &begin, &end);
    if (begin == end) return true;
    TextSegment segment;
    segment.bytes = {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
    segment.characters.begin = CharacterOf(segment.bytes.begin);
    segment.characters.end = CharacterOf(segment.bytes.end);
    return visit_(segment);
  }

 private:
  int64_t CharacterOf(int64_t byte) {
    while (at_.byte() < byte) at_.Next();
    return at_.character();
  }

  const std::string_view text_;
  const VisitSegment& visit_;
  Utf8Cursor at_;
};

// The sentences of one paragraph after the other. The answers are whether further ones are wanted.
class SentenceWriter {
 public:
  SentenceWriter(std::string_view text, const VisitSegment& visit, const StopCheck& stop)
      : text_(text), stop_(stop), segments_(text, visit) {}

  absl::StatusOr<bool> Write(const Paragraph& paragraph) {
    const auto begin = static_cast<size_t>(paragraph.bytes.begin);
    const auto end = static_cast<size_t>(paragraph.bytes.end);
    switch (paragraph.kind) {
      case Paragraph::Kind::kWhole:
        return segments_.Write(begin, end);
      case Paragraph::Kind::kRows:
        return WriteRows(begin, end);
      case Paragraph::Kind::kProse:
        return WriteProse(begin, end);
    }
    return absl::InternalError("unknown kind of paragraph");
  }

 private:
  absl::StatusOr<bool> WriteProse(size_t begin, size_t end) {
    if (splitter_ == nullptr) {
      auto splitter = SentenceSplitter::Create();
      if (!splitter.ok()) return splitter.status();
      splitter_ = *std::move(splitter);
    }
    size_t at = begin;
    const auto take = [&](size_t length) {
      return segments_.Write(std::exchange(at, begin + length), begin + length);
    };
    const auto wanted = splitter_->Split(text_.substr(begin, end - begin), take, stop_);
    return wanted.ok() && *wanted ? segments_.Write(at, end) : wanted;
  }

  // The row at the head of a table ends behind the line |---|---| below it.
  bool WriteRows(size_t begin, size_t end) {
    const std::string_view table = text_.substr(0, end);
    size_t line_end = std::min(table.find_first_of("\r\n", begin), end);
    line_end = std::min(table.find_first_not_of("\r\n", line_end), end);
    for (size_t at = begin; at < end; at = line_end) {
      line_end = std::min(table.find_first_of("\r\n", std::max(at, line_end) + 1), end);
      if (!segments_.Write(at, line_end)) return false;
    }
    return true;
  }

  const std::string_view text_;
  const StopCheck& stop_;
  SegmentWriter segments_;
  std::unique_ptr<SentenceSplitter> splitter_;
};

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
      Utf8Cursor cursor(text_, static_cast<size_t>(end));
      cursor.Next();
      end = cursor.byte();
    }
    return end;
  }
  int64_t looked_at() const { return looked_at_; }

 private:
  int64_t Previous(int64_t at) const {
    return static_cast<int64_t>(PreviousCodePoint(text_, static_cast<size_t>(at)));
  }
  bool IsWordAt(int64_t at) {
    ++looked_at_;
    return IsWord(Utf8Cursor(text_, static_cast<size_t>(at)).Peek());
  }

  const std::string_view text_;
  const int64_t size_;
  int64_t looked_at_ = 0;
};

}  // namespace

absl::Status ForEachSentence(std::string_view text, const VisitSegment& visit,
                             const StopCheck& stop) {
  SentenceWriter writer(text, visit, stop);
  ParagraphReader paragraphs(text);
  while (const auto paragraph = paragraphs.Next()) {
    const auto wanted = writer.Write(*paragraph);
    if (!wanted.ok()) return wanted.status();
    if (!*wanted) break;
  }
  return absl::OkStatus();
}

absl::Status ForEachParagraph(std::string_view text, const VisitSegment& visit,
                              const StopCheck& stop) {
  SegmentWriter writer(text, visit);
  ParagraphReader paragraphs(text);
  int64_t asked_at = 0;
  while (const auto paragraph = paragraphs.Next()) {
    if (stop && paragraph->bytes.end - asked_at >= kBytesBetweenStops) {
      if (absl::Status status = stop(); !status.ok()) return status;
      asked_at = paragraph->bytes.end;
    }
    if (!writer.Write(static_cast<size_t>(paragraph->bytes.begin),
                      static_cast<size_t>(paragraph->bytes.end)))
      break;
  }
  return absl::OkStatus();
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
  Utf8Cursor cursor(text);
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
