#include "server/text/sentence_block.h"

#include <unicode/uscript.h>
#include <unicode/utf16.h>

#include <algorithm>

#include "server/text/block_tags.h"
#include "server/text/utf8.h"

namespace longspan {
namespace {

constexpr char16_t kBlank = u' ';
constexpr char16_t kCloser = u')';
constexpr size_t kLongestReference = 8;  // of [1], [12, 13], [a]

size_t UnitsOf(char32_t c) { return c > 0xffff ? 2 : 1; }

bool IsGreek(char16_t c) { return (c >= 0x370 && c < 0x400) || (c >= 0x1f00 && c < 0x2000); }
bool IsArmenian(char16_t c) { return c >= 0x530 && c < 0x590; }
bool IsDash(char16_t c) { return c == u'-' || c == 0x2013 || c == 0x2014; }
bool IsEmphasis(char16_t c) { return c == u'*' || c == u'_' || c == u'`' || c == u'~'; }
bool IsClosing(char16_t c) {
  if (c >= u'a' && c <= u'z') return false;
  return u_getIntPropertyValue(c, UCHAR_SENTENCE_BREAK) == U_SB_CLOSE;
}

// Reads a text and writes its units.
class UnitWriter {
 public:
  UnitWriter(std::string_view text, size_t begin, std::u16string* units)
      : text_(text), at_(text, begin), units_(units) {}
  bool done() const { return at_.done(); }

  void Write() {
    const char32_t c = at_.Peek();
    if (c == '<') ReadTagHere();
    const auto byte = static_cast<size_t>(at_.byte());
    at_.Next();
    if (byte < replaced_to_) return Append(c, replacement_);
    if (c == '\n') in_margin_ = true;
    const bool margin = in_margin_ && (c == '>' || IsBlank(c));
    in_margin_ = margin;
    if (margin || IsBlank(c)) return Append(c, kBlank);
    if (c == 0x2026) return units_->push_back(u'.');  // …
    // The Greek question mark, as a character of its own or as a semicolon.
    if (c == 0x37e || (c == ';' && !units_->empty() && IsGreek(units_->back())))
      return units_->push_back(u'?');
    // The Armenian full stop, which many keyboards lack.
    if (c == ':' && !units_->empty() && IsArmenian(units_->back())) return units_->push_back(0x589);
    Append(c, 0);
  }

 private:
  // Tags are blanks. Those that close behind a stop belong to it.
  void ReadTagHere() {
    const auto byte = static_cast<size_t>(at_.byte());
    const auto tag = ReadTag(text_, byte);
    if (!tag.has_value() || byte < replaced_to_) return;
    const bool closes = tag->kind == HtmlTag::Kind::kInlineEnd && !units_->empty() &&
                        (IsStop(units_->back()) || IsClosing(units_->back()));
    replacement_ = closes ? kCloser : kBlank;
    replaced_to_ = tag->end;
  }
  // The code point, or as many units of `instead` as it takes.
  void Append(char32_t c, char16_t instead) {
    const size_t count = UnitsOf(c);
    if (instead != 0) {
      units_->append(count, instead);
    } else if (count == 1) {
      units_->push_back(static_cast<char16_t>(c));
    } else {
      units_->push_back(U16_LEAD(c));
      units_->push_back(U16_TRAIL(c));
    }
  }

  const std::string_view text_;
  Utf8Cursor at_;
  std::u16string* const units_;
  bool in_margin_ = true;   // nothing but blanks and > since the line began
  size_t replaced_to_ = 0;  // bytes before it are written as replacement_
  char16_t replacement_ = 0;
};

}  // namespace

bool IsStop(char16_t c) {
  if (c < 0x80) return c == u'.' || c == u'!' || c == u'?';
  const int32_t property = u_getIntPropertyValue(c, UCHAR_SENTENCE_BREAK);
  return property == U_SB_STERM || property == U_SB_ATERM;
}

void SentenceBlock::Load(std::string_view text, size_t begin) {
  text_ = text;
  byte_ = begin;
  unit_ = 0;
  units_.clear();
  units_.reserve(std::min(text.size() - begin, kMaxUnits) + 2);
  UnitWriter writer(text, begin, &units_);
  while (units_.size() < kMaxUnits && !writer.done()) writer.Write();
  reaches_end_ = writer.done();
  MarkClosers();
  MarkBeginnings();
}

// Behind a stop, and what closes behind it, emphasis and references that end there are closers too.
void SentenceBlock::MarkClosers() {
  bool behind_stop = false;
  for (size_t at = 0; at < units_.size();) {
    const char16_t c = units_[at];
    if (behind_stop && (IsEmphasis(c) || c == u'[')) {
      const size_t end = CloserEnd(at);
      std::fill(units_.begin() + at, units_.begin() + end, kCloser);
      if (end > at) {
        at = end;
        continue;
      }
      // What opens something keeps its form: the whole run was looked at.
      while (at < units_.size() && units_[at] == c) ++at;
      behind_stop = false;
      continue;
    }
    behind_stop = IsStop(c) || (behind_stop && IsClosing(c));
    ++at;
  }
}

void SentenceBlock::MarkBeginnings() {
  icu_units_ = units_;
  bool behind_stop = false, blank = false;
  for (size_t at = 0; at < units_.size(); ++at) {
    const char16_t c = units_[at];
    if (behind_stop && blank && (u_isdigit(c) || IsDash(c))) icu_units_[at] = u'A';
    const bool stop = IsStop(c);
    behind_stop = stop || (behind_stop && (c == kBlank || IsClosing(c)));
    blank = behind_stop && !stop && c == kBlank;
  }
}

// Where the emphasis or reference that begins at `at` ends; `at` where it opens something instead.
size_t SentenceBlock::CloserEnd(size_t at) const {
  size_t end = at;
  if (units_[at] == u'[') {
    const size_t last = std::min(at + kLongestReference, units_.size());
    for (++end;
         end < last && (u_isalnum(units_[end]) || units_[end] == u',' || units_[end] == u' ');)
      ++end;
    return end < last && units_[end] == u']' && end > at + 1 ? end + 1 : at;
  }
  while (end < units_.size() && IsEmphasis(units_[end])) ++end;
  const bool closes = end == units_.size() || units_[end] == kBlank || units_[end] == u'[' ||
                      IsClosing(units_[end]);
  return closes ? end : at;
}

size_t SentenceBlock::ByteOf(int32_t unit) {
  Utf8Cursor at(text_, byte_);
  while (unit_ < unit && !at.done()) {
    unit_ += static_cast<int32_t>(UnitsOf(at.Peek()));
    at.Next();
  }
  byte_ = static_cast<size_t>(at.byte());
  return byte_;
}

}  // namespace longspan
