#include "server/text/block_tags.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "server/text/utf8.h"

namespace longspan {
namespace {

constexpr auto kBlockNames = std::to_array<std::string_view>(
    {"address", "article", "aside",  "blockquote", "body",   "caption",    "center",
     "dd",      "details", "div",    "dl",         "dt",     "figcaption", "figure",
     "footer",  "form",    "h1",     "h2",         "h3",     "h4",         "h5",
     "h6",      "head",    "header", "html",       "legend", "li",         "main",
     "nav",     "ol",      "option", "p",          "pre",    "section",    "summary",
     "table",   "tbody",   "tfoot",  "thead",      "title",  "tr",         "ul"});
constexpr size_t kLongestName = 10;

bool IsNameCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

HtmlTag::Kind KindOf(std::string_view name, bool closes) {
  if (name == "br") return HtmlTag::Kind::kLineBreak;
  if (name == "hr") return HtmlTag::Kind::kBlockEnd;
  const bool block = std::find(kBlockNames.begin(), kBlockNames.end(), name) != kBlockNames.end();
  if (block) return closes ? HtmlTag::Kind::kBlockEnd : HtmlTag::Kind::kBlockBegin;
  return closes ? HtmlTag::Kind::kInlineEnd : HtmlTag::Kind::kInline;
}

// A run of block tags with nothing but white space between them.
struct TagRun {
  size_t end = 0;             // behind its last tag
  size_t last_block_end = 0;  // behind its last end of a block; 0 = there is none
  bool divides = false;       // it is more than one line break
};

TagRun ReadRun(std::string_view text, size_t at, size_t end) {
  TagRun run;
  int line_breaks = 0;
  while (at < end && text[at] == '<') {
    const auto tag = ReadTag(text.substr(0, end), at);
    if (!tag.has_value() || !tag->is_block()) break;
    const bool ends = tag->kind == HtmlTag::Kind::kBlockEnd ||
                      (tag->kind == HtmlTag::Kind::kLineBreak && ++line_breaks >= 2);
    run.divides = run.divides || ends || tag->kind == HtmlTag::Kind::kBlockBegin;
    if (ends) run.last_block_end = tag->end;
    run.end = at = tag->end;
    for (Utf8Cursor blank(text, at); at < end && IsBlank(blank.Peek());) {
      blank.Next();
      at = static_cast<size_t>(blank.byte());
    }
  }
  return run;
}

}  // namespace

std::optional<HtmlTag> ReadTag(std::string_view text, size_t at) {
  size_t name_begin = at + 1;
  const bool closes = name_begin < text.size() && text[name_begin] == '/';
  name_begin += closes ? 1 : 0;
  size_t name_end = name_begin;
  while (name_end < text.size() && IsNameCharacter(text[name_end])) {
    if (++name_end - name_begin > kLongestName) return std::nullopt;
  }
  if (name_end == name_begin) return std::nullopt;
  const size_t end = text.find_first_of("<>", name_end);
  if (end == std::string_view::npos || text[end] == '<') return std::nullopt;
  const char behind = text[name_end];
  if (behind != '>' && behind != '/' && !IsBlank(static_cast<unsigned char>(behind)))
    return std::nullopt;
  std::string name(text.substr(name_begin, name_end - name_begin));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return HtmlTag{KindOf(name, closes), end + 1};
}

size_t FirstCutOfTags(std::string_view text, size_t begin, size_t end) {
  size_t first = begin, last = end;
  TrimBlanks(text, &first, &last);
  const std::string_view looked_at = text.substr(0, last);
  for (size_t at = looked_at.find('<', first); at < last; at = looked_at.find('<', at)) {
    const TagRun run = ReadRun(text, at, end);
    if (run.end == 0) {
      ++at;
      continue;
    }
    if (run.divides && at > first && run.end < last)
      return run.last_block_end > 0 ? run.last_block_end : at;
    at = run.end;
  }
  return end;
}

}  // namespace longspan
