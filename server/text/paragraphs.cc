#include "server/text/paragraphs.h"

#include <algorithm>
#include <array>
#include <string>

#include "server/text/block_tags.h"
#include "server/text/utf8.h"

namespace longspan {
namespace {

// A line above === or --- is a heading. Longer paragraphs above such a line are letters and tables
// in plain text.
constexpr int kMaxHeadingLines = 2;
constexpr size_t kMaxItemDigits = 9;  // of an ordered list, as in CommonMark
constexpr size_t kMaxHeadingMarks = 6;

// Bullets of plain texts beside Markdown's - * +.
constexpr auto kBullets = std::to_array<std::string_view>({"•", "◦", "▪", "‣", "●", "■"});

std::string_view WithoutIndent(std::string_view line) {
  const size_t first = line.find_first_not_of(" \t");
  return first == std::string_view::npos ? std::string_view() : line.substr(first);
}
std::string_view WithoutTrail(std::string_view line) {
  const size_t last = line.find_last_not_of(" \t\r");
  return last == std::string_view::npos ? std::string_view() : line.substr(0, last + 1);
}
bool IsBlankLine(std::string_view line) {
  for (Utf8Cursor at(line); !at.done(); at.Next())
    if (!IsBlank(at.Peek())) return false;
  return true;
}
size_t RunOf(std::string_view line, char c) {
  const size_t end = line.find_first_not_of(c);
  return end == std::string_view::npos ? line.size() : end;
}
bool EndsOrBlankAt(std::string_view line, size_t at) {
  return at >= line.size() || line[at] == ' ' || line[at] == '\t' || line[at] == '\r';
}

// The length of the fence that the line is; 0 = none.
size_t FenceOf(std::string_view line) {
  line = WithoutIndent(line);
  if (line.empty() || (line[0] != '`' && line[0] != '~')) return 0;
  const size_t length = RunOf(line, line[0]);
  if (length < 3) return 0;
  // ```code``` in one line is no fence.
  return line[0] == '`' && line.find('`', length) != std::string_view::npos ? 0 : length;
}
bool IsHeading(std::string_view line) {
  line = WithoutIndent(line);
  const size_t marks = RunOf(line, '#');
  return marks > 0 && marks <= kMaxHeadingMarks && EndsOrBlankAt(line, marks);
}
// Three or more of one of - * _, with blanks between them or not.
bool IsRule(std::string_view line) {
  line = WithoutTrail(WithoutIndent(line));
  if (line.empty() || (line[0] != '-' && line[0] != '*' && line[0] != '_')) return false;
  const auto marks = std::count(line.begin(), line.end(), line[0]);
  return marks >= 3 && marks + std::count(line.begin(), line.end(), ' ') ==
                           static_cast<std::ptrdiff_t>(line.size());
}
// What stands under a heading: two or more = or - alone.
bool IsUnderline(std::string_view line) {
  line = WithoutTrail(WithoutIndent(line));
  return line.size() > 1 && (line[0] == '=' || line[0] == '-') &&
         RunOf(line, line[0]) == line.size();
}
// The number of an ordered item ("12." or "12)"), -1 for a bullet; nullopt = no item.
std::optional<int> ItemOf(std::string_view line) {
  line = WithoutTrail(WithoutIndent(line));
  for (const std::string_view bullet : kBullets)
    if (line.starts_with(bullet)) return -1;
  if (line.empty()) return std::nullopt;
  const bool mark = line[0] == '-' || line[0] == '*' || line[0] == '+';
  if (mark && line.size() > 1 && EndsOrBlankAt(line, 1)) return -1;
  const size_t digits = std::min(line.find_first_not_of("0123456789"), line.size());
  if (digits == 0 || digits > kMaxItemDigits || digits + 1 >= line.size()) return std::nullopt;
  if ((line[digits] != '.' && line[digits] != ')') || !EndsOrBlankAt(line, digits + 1))
    return std::nullopt;
  return std::stoi(std::string(line.substr(0, digits)));
}
bool IsQuote(std::string_view line) { return WithoutIndent(line).starts_with(">"); }
// A quote's line without words ends a paragraph of the quote, as a blank line does outside.
bool IsEmptyQuote(std::string_view line) {
  return line.find_first_not_of("> \t\r") == std::string_view::npos;
}
// The line between a table's head and its rows: |---|:---:|
bool IsTableRule(std::string_view line) {
  return line.find('|') != std::string_view::npos && line.find('-') != std::string_view::npos &&
         line.find_first_not_of("|-: \t\r") == std::string_view::npos;
}

TextRange Range(size_t begin, size_t end) {
  return {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
}

}  // namespace

ParagraphReader::Bounds ParagraphReader::LineAt(size_t begin) const {
  size_t end = begin;
  while (end < text_.size() && text_[end] != '\n' && text_[end] != '\r') ++end;
  const bool both = text_.substr(end, 2) == "\r\n";
  return {begin, end, std::min(end + (both ? 2 : 1), text_.size())};
}

ParagraphReader::Line ParagraphReader::KindOf(const Bounds& bounds) const {
  const std::string_view line = Of(bounds);
  if (IsBlankLine(line)) return Line::kBlank;
  if (FenceOf(line) > 0) return Line::kFence;
  if (IsHeading(line)) return Line::kHeading;
  if (IsRule(line)) return Line::kRule;
  if (ItemOf(line).has_value()) return Line::kItem;
  if (IsQuote(line)) return Line::kQuote;
  if (line.find('|') != std::string_view::npos && bounds.next < text_.size() &&
      IsTableRule(Of(LineAt(bounds.next))))
    return Line::kTable;
  return Line::kText;
}

bool ParagraphReader::Interrupts(Line of, Line next, const Bounds& line) const {
  switch (next) {
    case Line::kText:
      return of == Line::kQuote;
    case Line::kQuote:
      return of != Line::kQuote;
    case Line::kItem:
      // In plain prose a line may happen to begin with a number: "in\n1990. Then". So outside a
      // list only 1 begins one, as in CommonMark.
      return of == Line::kItem || ItemOf(Of(line)) == -1 || ItemOf(Of(line)) == 1;
    default:
      return true;
  }
}

Paragraph ParagraphReader::ReadCode(const Bounds& first) {
  const std::string_view fence = WithoutIndent(Of(first));
  const size_t length = FenceOf(fence);
  Bounds line = first;
  while (line.next < text_.size()) {
    line = LineAt(line.next);
    const std::string_view closing = WithoutTrail(WithoutIndent(Of(line)));
    if (closing.size() >= length && RunOf(closing, fence[0]) == closing.size()) break;
  }
  at_ = line.next;
  return {Paragraph::Kind::kWhole, Range(first.begin, line.end)};
}

Paragraph ParagraphReader::ReadTable(const Bounds& first) {
  Bounds line = first;
  while (line.next < text_.size()) {
    const Bounds next = LineAt(line.next);
    if (Of(next).find('|') == std::string_view::npos) break;
    line = next;
  }
  at_ = line.next;
  return {Paragraph::Kind::kRows, Range(first.begin, line.end)};
}

Paragraph ParagraphReader::ReadProse(const Bounds& first, Line kind) {
  Bounds line = first;
  for (int lines = 1; line.next < text_.size(); ++lines) {
    if (kind == Line::kQuote && lines > 1 && IsEmptyQuote(Of(line))) break;
    const Bounds next = LineAt(line.next);
    if (kind == Line::kText && lines <= kMaxHeadingLines && IsUnderline(Of(next))) {
      at_ = next.next;
      return {Paragraph::Kind::kWhole, Range(first.begin, next.end)};
    }
    const Line next_kind = KindOf(next);
    if (next_kind != Line::kText || kind == Line::kQuote)
      if (Interrupts(kind, next_kind, next)) break;
    line = next;
  }
  at_ = line.next;
  prose_at_ = first.begin;
  prose_end_ = line.end;
  return TakeProse();
}

Paragraph ParagraphReader::TakeProse() {
  const size_t begin = prose_at_;
  prose_at_ = FirstCutOfTags(text_, begin, prose_end_);
  return {Paragraph::Kind::kProse, Range(begin, prose_at_)};
}

std::optional<Paragraph> ParagraphReader::Next() {
  if (prose_at_ < prose_end_) return TakeProse();
  while (at_ < text_.size()) {
    const Bounds line = LineAt(at_);
    const Line kind = KindOf(line);
    switch (kind) {
      case Line::kBlank:
        at_ = line.next;
        continue;
      case Line::kFence:
        return ReadCode(line);
      case Line::kHeading:
      case Line::kRule:
        at_ = line.next;
        return Paragraph{Paragraph::Kind::kWhole, Range(line.begin, line.end)};
      case Line::kTable:
        return ReadTable(line);
      case Line::kItem:
      case Line::kQuote:
      case Line::kText:
        return ReadProse(line, kind);
    }
  }
  return std::nullopt;
}

}  // namespace longspan
