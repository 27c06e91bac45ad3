#include "client/search_text.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/summary.h"

namespace longspan {
namespace {

constexpr size_t kMostBytes = 400;   // of a passage, as it is shown
constexpr size_t kPlaceColumn = 48;  // where the scores begin
// Of the largest weight. What counts less, such as an article, decides nothing.
constexpr float kLeastWeight = 0.1f;

constexpr std::string_view kBold = "\x1b[1m", kDim = "\x1b[2m", kPlain = "\x1b[0m";
// Of a word of the question, of a best token, and of what is both.
constexpr std::string_view kMark = "\x1b[1;33m", kUnderline = "\x1b[4m", kBoth = "\x1b[1;33;4m";

std::string Styled(std::string_view text, std::string_view style, bool colour) {
  return colour ? absl::StrCat(std::string(style), std::string(text), std::string(kPlain))
                : std::string(text);
}

bool IsWordByte(char c) { return absl::ascii_isalnum(c) || static_cast<unsigned char>(c) >= 0x80; }

// Calls take(piece, is_word) for each run of bytes of words, and for what lies between.
template <typename Take>
void ForEachPiece(std::string_view text, const Take& take) {
  for (size_t at = 0; at < text.size();) {
    const bool is_word = IsWordByte(text[at]);
    size_t end = at;
    while (end < text.size() && IsWordByte(text[end]) == is_word) ++end;
    take(text.substr(at, end - at), is_word);
    at = end;
  }
}

// Whether each byte of the span belongs to a best token.
std::vector<bool> BestBytes(const v1::SearchSpan& span) {
  const uint64_t begin = span.bytes().begin(), end = span.bytes().end();
  std::vector<bool> best(end - begin);
  float most = 0;
  for (const v1::BestToken& token : span.best_tokens()) most = std::max(most, token.weight());
  for (const v1::BestToken& token : span.best_tokens()) {
    if (token.weight() < kLeastWeight * most) continue;
    const uint64_t last = std::min(token.bytes().end(), end);
    for (uint64_t at = std::max(token.bytes().begin(), begin); at < last; ++at)
      best[at - begin] = true;
  }
  return best;
}

// Bytes [begin, end) of the passage. `underlined`: which bytes are; those behind its end are not.
std::string Underlined(std::string_view passage, size_t begin, size_t end,
                       const std::vector<bool>& underlined, bool mark) {
  const auto is_underlined = [&](size_t at) {
    return at < underlined.size() && underlined[at] && passage[at] != ' ';
  };
  std::string styled;
  for (size_t at = begin; at < end;) {
    const bool line = is_underlined(at);
    size_t next = at + 1;
    while (next < end && is_underlined(next) == line) ++next;
    const std::string_view style = !line ? kMark : mark ? kBoth : kUnderline;
    styled += Styled(passage.substr(at, next - at), style, line || mark);
    at = next;
  }
  return styled;
}

std::string Marked(const std::string& passage, const std::vector<bool>& underlined,
                   const std::string& query) {
  std::vector<std::string> asked;
  ForEachPiece(query, [&](std::string_view piece, bool is_word) {
    // Words of three letters are in every passage.
    if (is_word && piece.size() > 3) asked.emplace_back(piece);
  });
  std::string marked;
  ForEachPiece(passage, [&](std::string_view piece, bool is_word) {
    const bool mark =
        is_word && std::any_of(asked.begin(), asked.end(),
                               [piece](const std::string& word) { return ReadAlike(word, piece); });
    const size_t begin = piece.data() - passage.data();
    marked += Underlined(passage, begin, begin + piece.size(), underlined, mark);
  });
  return marked;
}

std::string PlaceOf(const SearchedFile& file, const v1::SearchSpan& span) {
  const std::string characters =
      absl::StrCat("characters ", span.characters().begin(), "..", span.characters().end());
  if (!file.has_text) return characters;
  const DocumentText& document = file.document;
  const std::string_view before = std::string_view(document.text).substr(0, span.bytes().begin());
  const bool pages = document.kind == DocumentKind::kPdf;
  const auto count = 1 + std::count(before.begin(), before.end(), pages ? '\f' : '\n');
  return absl::StrCat(pages ? "page " : "line ", count, ", ", characters);
}

std::string ScoresOf(double score, double similarity) {
  return absl::StrFormat("score %.2f, similarity %.2f", score, similarity);
}

// `left` and `right` on one line, `right` in its column where that can be.
std::string Line(std::string_view left, size_t width, std::string_view right) {
  const size_t gap = width + 2 < kPlaceColumn ? kPlaceColumn - width : 2;
  return absl::StrCat(std::string(left), std::string(gap, ' '), std::string(right), "\n");
}

}  // namespace

bool ReadAlike(std::string_view a, std::string_view b) {
  constexpr size_t kMostEnding = 3;  // letters: rule, ruling; lease, leases, leased
  const size_t shorter = std::min(a.size(), b.size()), longer = std::max(a.size(), b.size());
  size_t same = 0;
  while (same < shorter && absl::ascii_tolower(a[same]) == absl::ascii_tolower(b[same])) ++same;
  return same == longer || (same >= 3 && shorter - same <= 1 && longer - same <= kMostEnding);
}

std::string ResultText(int rank, const SearchedFile& file, const v1::SearchResult& result,
                       const std::string& query, bool colour) {
  const std::string head = absl::StrCat(rank, rank < 10 ? "  " : " ", file.name);
  std::string text = Line(Styled(head, kBold, colour), head.size(),
                          Styled(ScoresOf(result.score(), result.similarity()), kDim, colour));
  for (const v1::SearchSpan& span : result.spans()) {
    const std::string place = absl::StrCat("   ", PlaceOf(file, span));
    text += Line(Styled(place, kDim, colour), place.size(),
                 Styled(ScoresOf(span.score(), span.similarity()), kDim, colour));
    if (!file.has_text) continue;
    std::vector<size_t> from;
    const std::string passage = JoinLines(
        file.document.text.substr(span.bytes().begin(), span.bytes().end() - span.bytes().begin()),
        kMostBytes, &from);
    if (!colour) {
      absl::StrAppend(&text, "     ", passage, "\n");
      continue;
    }
    const std::vector<bool> best = BestBytes(span);
    std::vector<bool> underlined;
    for (const size_t at : from) underlined.push_back(best[at]);
    absl::StrAppend(&text, "     ", Marked(passage, underlined, query), "\n");
  }
  if (result.truncated()) {
    absl::StrAppend(&text, "   read: ", result.tokens_used(), " of ", result.tokens_total(),
                    " tokens\n");
  }
  return text;
}

}  // namespace longspan
