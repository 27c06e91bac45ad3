// Where a long text may be cut so that its parts, tokenised one by one, give the tokens of the
// whole. The crate keeps about 150 bytes a byte of text while it works (copies, alignments and a
// string a token): 1.2 GiB for 8 MiB of English in one piece, 40 MiB for each quarter of a
// mebibyte.
//
// Cut between a letter and a blank that a letter follows, all three ASCII: "in this| Agreement". A
// pre-tokeniser that splits at blanks never makes a token across that place, and no normaliser
// joins such a letter with what stands around it. The part behind the cut begins with a blank, so
// that nothing is put in front of it. One thing still looks different from inside a part: its first
// token counts as the first of a text (the byte-level post-processors trim its blank differently).
// So each part begins one word earlier than it should, and the tokens of that word are thrown away:
//
//   ... in this| Agreement and ...     part 1 ends at |, part 2 is " this Agreement and ...", its first token is dropped
//
// Text without such places (Chinese, one word of a mebibyte) is not cut. Whether a tokenizer allows
// it at all is TokenizerJsonSummary::cuts_at_blanks. Pure functions. Proven by
// tokenizer_chunks_test against the crate on whole texts.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace longspan {

// One part of a text: tokenise [lead, end), drop the tokens that begin before `begin`.
struct TextChunk {
  size_t lead = 0;  // where the extra word begins; equals `begin` in the first part
  size_t begin = 0;
  size_t end = 0;
};

// Parts that cover the text in order, each of about chunk_bytes.
std::vector<TextChunk> CutAtBlanks(std::string_view text, size_t chunk_bytes);

}  // namespace longspan
