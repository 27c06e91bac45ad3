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

constexpr std::string_view kBold = "\x1b[1m", kDim = "\x1b[2m", kMark = "\x1b[1;33m",
                           kPlain = "\x1b[0m";

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

std::string Marked(const std::string& passage, const std::string& query) {
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
    marked += Styled(piece, kMark, mark);
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
    const std::string passage = JoinLines(
        file.document.text.substr(span.bytes().begin(), span.bytes().end() - span.bytes().begin()),
        kMostBytes);
    absl::StrAppend(&text, "     ", colour ? Marked(passage, query) : passage, "\n");
  }
  if (result.truncated()) {
    absl::StrAppend(&text, "   read: ", result.tokens_used(), " of ", result.tokens_total(),
                    " tokens\n");
  }
  return text;
}

}  // namespace longspan
