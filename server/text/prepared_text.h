// PreparedText: an EncodeInput after the tokenizer thread: one or more pieces, each a text for the
// encoder, and how the vectors of the pieces are put together again. Most texts are one piece; a
// text cut into windows is several, averaged by token count:
//
//   10 text tokens, windows of 6, overlap 2:  pieces [0 6) [4 10)   document = (6 * v0 + 6 * v1) / 12, then normalised once
//
// Plain values and one pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "core/encoder.h"
#include "core/token_batch.h"
#include "server/text/encode_input.h"

namespace longspan {

// One text as the encoder sees it: the unit that is queued and batched.
struct TextPiece {
  std::vector<int32_t> token_ids;
  std::vector<int32_t> global_positions;
  EncodeOptions options;
};

// Where one summand of a vector comes from.
struct VectorPart {
  int32_t piece = 0;
  int32_t span = -1;  // index into the piece's span vectors; -1 = the piece's document vector
  double weight = 1;  // tokens of the text that it stands for
};

struct PreparedSpan {
  TextRange bytes;
  TextRange characters;
  TokenRange tokens;
  std::vector<VectorPart> parts;
};

struct PreparedText {
  std::vector<TextPiece> pieces;
  LshOptions lsh;
  std::vector<VectorPart> document;  // empty = no document vector wanted
  std::vector<PreparedSpan> spans;
  bool normalize_joined =
      false;  // the pieces' vectors are not normalised; the joined ones shall be
  int64_t tokens_total = 0;
  int64_t tokens_used = 0;
  std::vector<TextRange> used_text;

  int64_t num_piece_tokens()
      const;  // tokens that the encoder will read, windows and spans counted each
};

// Averages the parts of each vector by weight (one part: taken as it is) and normalises where
// asked. `encoded` has one entry per piece and is consumed.
EncodedDocument JoinPieces(const PreparedText& prepared, std::vector<EncodedText> encoded);

}  // namespace longspan
