// Cuts a long text into parts that give, tokenised one by one, the tokens of the whole.
//
// The crate keeps up to 600 bytes for each byte of what it reads in one piece: of 1 MiB without a
// place to cut, 300 for "a§" (bert-uncased), 358 for the same (roberta), 590 for U+1D160, which NFC
// makes three times as long (modernbert). So one piece must be short: parts have 32 KiB, the last
// one less than twice that, and 1 MiB where the text has no place for longer.
//
// A text may be cut in front of a character `right` behind a character `left`, as follows. "Plain"
// are visible ASCII, letters that no normaliser joins with anything (IsPlainLetter: most letters of
// Latin, Greek, Cyrillic, Hebrew, Arabic, Indic scripts, Thai, kana, ideographs, Hangul syllables)
// and some punctuation of these scripts (cut_rules.cc).
//
//   1. blanks            plain |" " plain                  "this| Agreement", "1,| 2", "да| нет"
//      line_breaks       plain |"\n" plain               and the same with a tab
//   2. bert_punctuation  visible ASCII, one of them        "a|,"  ",|a"  ".|!"
//                        punctuation
//   3. ideographs        two ideographs                    "你|好"
//   4. symbols           a letter or digit and             "a|,"  ",|a"  "好|，"  "it|'s"
//                        punctuation, either way round,
//                        but not behind an apostrophe;
//                        a letter and an ASCII digit       "x|2"
//
// Why the tokens are those of the whole. Each stage of the crate is followed over the cut; the text
// is A + B, and N is the normaliser.
//
// Normaliser: N(A + B) = N(A) + N(B). Lower case, Nmt, clean_text, the blanks around ideographs and
// the removal of marks go character by character; lower case knows no final sigma. NFC, NFD, NFKC
// and NFKD join or reorder across a place only where the character behind it is a mark or composes
// with what is before it: a blank, ASCII and plain letters do neither. Precompiled goes by clusters
// of graphemes, and none reaches over a place between a plain character and a blank; beside it only
// rule 1 with " " holds. Any other normaliser (Replace, Prepend, Strip, ByteLevel) allows no cut.
//
// Pre-tokeniser: it has a boundary at the cut, and what it does on either side does not depend on
// the other.
//   1. BertPreTokenizer, Whitespace and WhitespaceSplit drop white space. Metaspace splits in front
//      of each " " (of no line break or tab: these are no place there). ByteLevel with its regex,
//        's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//      has a blank only at the beginning of a match or in a match of blanks, so no match reaches
//      over a blank whose left neighbour is none. The regex looks back nowhere and ahead only
//      behind blanks, so A ends and B begins as they would alone. Digits and Punctuation beside one
//      of these look at neighbours only; then rule 1 is for letters only. Where BertNormalizer puts
//      blanks around ideographs, the left neighbour may become a blank: with ByteLevel behind it,
//      rule 1 is for ASCII letters only.
//   2. BertPreTokenizer makes each ASCII punctuation character a word of its own, whatever is
//      beside it. NFC makes one sign of "=", "<" or ">" and a U+0338 behind it; so behind these
//      there must be ASCII too.
//   3. BertNormalizer (handle_chinese_chars) puts blanks around each ideograph.
//   4. ByteLevel with its regex: no match holds two of letter, digit and sign, but for the
//      contractions, which begin with an apostrophe. So it is no place behind an apostrophe; in
//      front of one it is: the contraction is whole behind it. Only without a normaliser or with
//      NFC: others may turn the end of a letter into a mark or a sign ("İ" in lower case ends with
//      a dot U+0307, which the regex joins with a comma).
//   Rules 2 and 3 hold where BertPreTokenizer is the only pre-tokeniser, rule 4 where ByteLevel is.
//   A Split by any other regex allows no cut.
//
// Model: works on one word or piece of the pre-tokeniser at a time.
//
// Added tokens are looked for in the text before all that. Two neighbours inside the content of one
// are no place, so an occurrence lies in A or in B, and they are found in both as in the whole.
//   lstrip, rstrip: take the blanks beside a token. In front of the blank of rule 1 there is no
//     last character of an rstrip token, and behind it no first one of an lstrip token. At the
//     other places there is no blank to take.
//   single_word: asks for what stands beside a token. In a part, what is behind the cut looks like
//     the end of the text. That is the same to a token that ends with an ASCII letter or digit, as
//     a blank or punctuation follows: where there are such tokens, no place is beside "_" or
//     between letter and digit. With any other single_word token only rule 1 holds.
//   normalized: the token's normal form is looked for in N(A + B). Where there is a normaliser,
//     such a token must be visible ASCII, in any case of letters, or only blanks (then without the
//     blanks of rule 3); otherwise no cut. One that takes blanks as well leaves of rule 1 ASCII
//     letters only.
//
// Beginning of a part: three things look whether something stands before it. ByteLevel and
// Metaspace put a blank in front of a text's first piece, post-processors trim the blank of its
// first token differently, and single_word looks at the character before. So each part begins up to
// 64 bytes earlier, and the tokens that begin before the cut are thrown away. All that was said
// holds of any text with these neighbours, so also of this part: what is behind the cut has the
// tokens that it has in the whole text. A character before a cut gives at least one token (of
// ByteLevel this is so where the vocabulary has all bytes, which is asked), so the first token is
// never one that is kept.
//
// ByteLevel with add_prefix_space puts a blank also in front of the first piece behind an added
// token, and post-processors trim it as if it were of the text: of "<s>a, b" the token " a" then
// begins behind the "a". So there the character in front of the left neighbour must belong to the
// same piece: then no token in front of the cut begins at the cut.
//
//   text     ... in this| Agreement and ...
//   part 1   ... in this
//   part 2   "... in this Agreement and ...", of which the tokens before " Agreement" are dropped
//
// A text is refused where it has a longer stretch without a place than one piece may have: letters,
// digits, or blanks in a row, kana or ideographs for ByteLevel and Metaspace. A tokenizer without
// any rule (CutRules::Any) reads each text in one piece, however long. Pure functions. Proven by
// tokenizer_chunks_test and the fuzz target tokenizer_text, against the crate on whole texts.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tokenizer/cut_rules.h"

namespace longspan {

// One part of a text, in bytes: tokenise [lead, end) and drop the tokens that begin before `begin`.
struct TextChunk {
  size_t lead = 0;  // equal to `begin` in the first part
  size_t begin = 0;
  size_t end = 0;
};

struct ChunkSizes {
  size_t chunk_bytes = 32 << 10;  // of a part, where there is a place to cut
  // Of a part in any case: beyond it the text is refused. At least chunk_bytes.
  size_t longest_uncut = 1 << 20;
};

// Parts that cover the text in order. A text shorter than two of chunk_bytes is one part. Linear in
// the text.
// INVALID_ARGUMENT (reason MAX_UNCUT_BYTES) names the first stretch without a place to cut that is
// longer than longest_uncut.
absl::StatusOr<std::vector<TextChunk>> CutText(std::string_view text, const CutRules& rules,
                                               const ChunkSizes& sizes);

}  // namespace longspan
