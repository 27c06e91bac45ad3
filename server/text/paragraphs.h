// Paragraphs of a text: what stands between blank lines, and what Markdown and HTML set apart:
//
//   # Heading                  a paragraph and one sentence, as one or two lines above === or ---
//   ``` ... ```, ~~~ ... ~~~   code: a paragraph and one sentence, blank lines included; a fence
//                              that is never closed holds the rest of the text, as in CommonMark
//   - item, 1. item, • item    a paragraph each, its marker included
//   > quote                    lines of a quote belong together
//   | a | b |                  a table is a paragraph, each row a sentence; the line |---|---|
//                              belongs to the row above it
//   ---, ***                   a paragraph of its own
//   <p>, </h1>, <br><br>       divide paragraphs (block_tags.h)
//
// Lines that are none of these go on with the paragraph above them. Each line is read a few times
// at most, so that all paragraphs of a text cost one pass.
//
// Not thread safe; the text must outlive the reader. Proven by text_segments_test.
#pragma once

#include <optional>
#include <string_view>

#include "core/tokenizer/tokenizer.h"

namespace longspan {

struct Paragraph {
  enum class Kind {
    kProse,  // sentences are looked for in it
    kWhole,  // it is one sentence: a heading, code
    kRows,   // each line is one: a table
  };
  Kind kind = Kind::kProse;
  TextRange bytes;
};

class ParagraphReader {
 public:
  explicit ParagraphReader(std::string_view text) : text_(text) {}
  // The next paragraph, in the order of the text. None is empty, but one may be white space alone.
  std::optional<Paragraph> Next();

 private:
  enum class Line { kBlank, kFence, kHeading, kRule, kItem, kQuote, kTable, kText };

  // Where the line that begins at `begin` ends, without and with its line feed.
  struct Bounds {
    size_t begin = 0, end = 0, next = 0;
  };
  Bounds LineAt(size_t begin) const;
  std::string_view Of(const Bounds& line) const {
    return text_.substr(line.begin, line.end - line.begin);
  }
  // What a line is where a paragraph may begin.
  Line KindOf(const Bounds& line) const;
  // Whether the line ends the paragraph of kind `of` above it.
  bool Interrupts(Line of, Line next, const Bounds& line) const;

  Paragraph ReadCode(const Bounds& first);
  Paragraph ReadTable(const Bounds& first);
  Paragraph ReadProse(const Bounds& first, Line kind);
  // The next paragraph of the part of prose that is left, up to where its tags divide it.
  Paragraph TakeProse();

  const std::string_view text_;
  size_t at_ = 0;        // begin of the next line
  size_t prose_at_ = 0;  // [prose_at_, prose_end_) was read as prose and not yet given
  size_t prose_end_ = 0;
};

}  // namespace longspan
