// PreparedText: an EncodeInput after the tokenizer thread: one or more pieces, each a text for the
// encoder, and how the vectors of the pieces are joined again. Most texts are one piece. A text cut
// into windows is several, and its document vector their mean, weighted by token count:
//
//   10 text tokens, windows of 6, overlap 2:  pieces [0 6) and [4 10)
//   document = (6 * v0 + 6 * v1) / 12, then normalised once
//
// Plain values and one pure function. Proven by prepared_text_test.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/encoder.h"
#include "core/text_shape.h"
#include "core/token_batch.h"
#include "server/text/encode_input.h"

namespace longspan {

class TokenPlaces;

// One text as the encoder sees it: the unit that is queued and batched.
struct TextPiece {
  std::vector<int32_t> token_ids;
  std::vector<int32_t> token_types;  // empty = all are 0
  std::vector<int32_t> global_positions;
  std::vector<uint8_t> attention_mask;  // as in TokenBatch::Text
  EncodeOptions options;
};

// What the piece's price follows from. `lsh`: PreparedText::lsh.
TextShape ShapeOf(const TextPiece& piece, const LshOptions& lsh);

// One summand of a vector, and where it comes from.
struct VectorPart {
  int32_t piece = 0;
  int32_t span = -1;  // index into the piece's span vectors; -1 = the piece's document vector
  double weight = 1;  // tokens of the text that it stands for
};

struct PreparedSpan {
  TextRange bytes;       // as in EncodedSpan
  TextRange characters;  // as in EncodedSpan
  TokenRange tokens;     // of the whole text, special tokens counted
  std::vector<VectorPart> parts;
  std::shared_ptr<const LexicalVector> lexical;  // as in EncodedSpan
};

struct PreparedText {
  std::vector<TextPiece> pieces;
  LshOptions lsh;
  std::vector<VectorPart> document;  // empty = no document vector wanted
  std::vector<PreparedSpan> spans;
  // True: the vectors of the pieces are not normalised and the joined ones shall be.
  bool normalize_joined = false;
  int64_t tokens_total = 0;                      // as in EncodedDocument
  int64_t tokens_used = 0;                       // as in EncodedDocument
  std::vector<TextRange> used_text;              // as in EncodedDocument
  int64_t gap = 0;                               // of the only piece: KeptTokens::gap; else 0
  std::shared_ptr<const LexicalVector> lexical;  // as in EncodedDocument
  // Where EncodeInput::wants_token_places; else null.
  std::shared_ptr<const TokenPlaces> token_places;

  // Tokens that the encoder will read: what two windows share counts in both.
  int64_t num_piece_tokens() const;
  // Entries of all lexical vectors together.
  int64_t num_lexical_values() const;
};

// Averages the parts of each vector by weight, and normalises where asked. A single part is taken
// as it is. `encoded` has one entry per piece and is consumed.
EncodedDocument JoinPieces(const PreparedText& prepared, std::vector<EncodedText> encoded);

}  // namespace longspan
