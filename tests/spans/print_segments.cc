// print_segments sentences|paragraphs < TEXT: the segments of a UTF-8 text, each as its begin and
// end in bytes on a line of its own. sentence_f1.py reads it.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "server/text/text_segments.h"

int main(int argc, char** argv) {
  const std::string what = argc == 2 ? argv[1] : "";
  if (what != "sentences" && what != "paragraphs") {
    std::fprintf(stderr, "usage: print_segments sentences|paragraphs < TEXT\n");
    return 2;
  }
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  const auto for_each =
      what == "sentences" ? longspan::ForEachSentence : longspan::ForEachParagraph;
  const auto print = [](const longspan::TextSegment& segment) {
    std::printf("%lld %lld\n", static_cast<long long>(segment.bytes.begin),
                static_cast<long long>(segment.bytes.end));
    return true;
  };
  const absl::Status status = for_each(text, print, {});
  if (status.ok()) return 0;
  std::fprintf(stderr, "print_segments: %s\n", status.ToString().c_str());
  return 1;
}
