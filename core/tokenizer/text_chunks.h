// Where a long text may be cut so that its parts, tokenised one by one, give the tokens of the
// whole.
//
// The crate keeps about 150 bytes for each byte of text while it works (copies, alignments and a
// string for each token): 1.2 GiB for 8 MiB of English in one piece, but 40 MiB for a quarter of a
// mebibyte at a time.
//
// A cut lies between a letter and a blank that a letter follows, all three ASCII, as in
// "this| Agreement". A pre-tokeniser that splits at blanks never makes a token across that place,
// and no normaliser joins such a letter with what stands around it. The part behind the cut begins
// with a blank, so nothing is put in front of it.
//
// One thing still looks different from inside a part: its first token counts as the first token of
// a text, whose blank the byte-level post-processors trim differently. So each part begins one word
// earlier than it should, and the tokens of that word are thrown away:
//
//   text     ... in this| Agreement and ...
//   part 1   ... in this
//   part 2   " this Agreement and ...", of which the token " this" is dropped
//
// A text without such places (Chinese, one word of a mebibyte) is not cut. Whether a tokenizer
// allows cuts at all is TokenizerJsonSummary::cuts_at_blanks. Pure functions. Proven by
// tokenizer_chunks_test, against the crate on whole texts.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace longspan {

// One part of a text, in bytes: tokenise [lead, end) and drop the tokens that begin before `begin`.
struct TextChunk {
  size_t lead = 0;  // where the extra word begins; equal to `begin` in the first part
  size_t begin = 0;
  size_t end = 0;
};

// Parts that cover the text in order, each of about chunk_bytes bytes.
std::vector<TextChunk> CutAtBlanks(std::string_view text, size_t chunk_bytes);

}  // namespace longspan
