// HTML's tags that begin or end a block (<p>, <h1>, <li>, <br>, ...), found in texts that come from
// the web. Not a parser of HTML: names and angle brackets are looked at, attributes are not.
//
// Free functions without state: thread safe. Proven by text_segments_test.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace longspan {

struct HtmlTag {
  enum class Kind {
    kBlockBegin,  // <p>
    kBlockEnd,    // </p>, <hr>
    kLineBreak,   // <br>
    kInline,      // <b>
    kInlineEnd,   // </b>
  };
  Kind kind = Kind::kInline;
  size_t end = 0;  // behind its '>'

  bool is_block() const { return kind != Kind::kInline && kind != Kind::kInlineEnd; }
};

// The tag that begins at text[at], which is '<'. nullopt where none does. Looks on to the next '<'
// at most, so that all tags of a text cost one pass.
std::optional<HtmlTag> ReadTag(std::string_view text, size_t at);

// Where the tags of text[begin, end) divide it first: behind the last end of a block in a run of
// tags ("...</p></div>|<div><p>..."), else before the run ("...|<ul><li>..."); a line break alone
// does not divide, two of them do. Text other than tags stands on both sides. `end` where nothing
// divides.
size_t FirstCutOfTags(std::string_view text, size_t begin, size_t end);

}  // namespace longspan
