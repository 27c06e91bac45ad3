// segment_cost: what it costs to find the sentences of texts of 1, 2, 4 and 8 MiB, prose and texts
// that are made to be slow, in milliseconds of the processor; a row of Markdown each. The cost must
// double with the text.
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "server/text/sentences.h"
#include "server/text/text_segments.h"

namespace longspan {
namespace {

double Milliseconds(const std::string& text, int64_t* sentences) {
  const std::clock_t begin = std::clock();
  *sentences = 0;
  const absl::Status status =
      ForEachSentence(text, [&](const TextSegment&) { return ++*sentences > 0; });
  const double took = 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  if (!status.ok()) std::fprintf(stderr, "segment_cost: %s\n", status.ToString().c_str());
  return took;
}

void PrintRow(const char* name, const std::string& piece) {
  std::printf("| %s |", name);
  int64_t sentences = 0;
  for (const size_t mebibytes : {1, 2, 4, 8}) {
    std::string text;
    while (text.size() + piece.size() <= mebibytes << 20) text += piece;
    std::printf(" %.0f |", Milliseconds(text, &sentences));
  }
  std::printf(" %lld |\n", static_cast<long long>(sentences));
}

void PrintTable() {
  int64_t sentences = 0;
  Milliseconds("The first call loads ICU's data.", &sentences);
  const std::string two = "The seller is Acme Inc. It pays the tax.";
  constexpr int kTimes = 10'000;
  const std::clock_t begin = std::clock();
  for (int i = 0; i < kTimes; ++i) Milliseconds(two, &sentences);
  const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  std::printf("%s: %.1f microseconds\n\n", two.c_str(), 1e6 * took / kTimes);
  std::printf("| text | 1 MiB | 2 MiB | 4 MiB | 8 MiB | sentences |\n");
  std::printf("| --- | ---: | ---: | ---: | ---: | ---: |\n");
  const std::vector<std::pair<const char*, std::string>> pieces = {
      {"prose",
       "The U.S. court held in No. 5 that \"it\" pays (see e.g. Table 2). He left at 5 p.m.\n"},
      {"full stops", "."},
      {"full stops and blanks", ". "},
      {"quotes", "\""},
      {"full stops and quotes", ".\""},
      {"abbreviations", "U.S. "},
      {"initials", "A. "},
      {"numbers of lists", "1. "},
      {"emphasis", ".*"},
      {"tags of blocks", "<p>"},
      {"angle brackets", "<"},
      {"lines of quotes", ">\n"},
      {"items", "- a\n"},
      {"one word", "x"},
      {"Chinese", "漢。"}};
  for (const auto& [name, piece] : pieces) PrintRow(name, piece);
}

}  // namespace
}  // namespace longspan

int main() { longspan::PrintTable(); }
