// TokenPlaces: the tokens of a text that the model reads, without special ones and a prompt, one
// row each, in the text's order: what search keeps a vector of, and where it stands.
//
//   HEAD_TAIL leaves b0 b1 and b4 b5     rows 0 1 2 3, runs [0, 2) and [2, 4)
//   windows b0..b7 and b4..b11           each token has one row; of those that two windows share,
//                                        the first half belongs to the window before
//
// The vectors come piece by piece (EncodeInput::piece_sink), and RowsOf tells where they belong.
//
// A plain value: const methods may be called from several threads. Proven by token_places_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/token_batch.h"
#include "core/token_place.h"
#include "server/text/kept_tokens.h"
#include "server/text/token_layout.h"
#include "server/text/truncation.h"

namespace longspan {

class TokenPlaces {
 public:
  // Rows that stand one behind the other in the text.
  struct Run {
    int64_t first_row = 0, end_row = 0;
    int64_t first_token = 0;  // of the whole text, special tokens counted
  };
  // Tokens of a piece, and the rows that they are.
  struct PieceRows {
    TokenRange tokens;
    int64_t first_row = 0;
  };

  TokenPlaces() = default;
  // `pieces`: what each piece of the text holds, by `ranges` (truncation.h).
  TokenPlaces(const TokenLayout& layout, const BodyRanges& ranges,
              std::span<const KeptTokens> pieces);

  int64_t num_rows() const { return static_cast<int64_t>(ids_.size()); }
  std::span<const int32_t> ids() const { return ids_; }       // of the rows
  std::span<const TokenPlace> places() const { return at_; }  // of the rows; empty for token ids
  std::span<const Run> runs() const { return runs_; }         // ascending
  std::span<const PieceRows> rows_of(int32_t piece) const { return pieces_[piece]; }
  int64_t bytes() const;

  // Where rows [begin, end) of one run stand; begin < end.
  TextRange Bytes(int64_t begin, int64_t end) const;
  TextRange Characters(int64_t begin, int64_t end) const;
  TokenRange Tokens(int64_t begin, int64_t end) const;
  // Whether no part of the text is left out between two rows, the first one before the second.
  bool InOneRun(int64_t first, int64_t second) const;

 private:
  void AddRows(const TokenLayout& layout, const KeptTokens& kept, TokenRange body,
               std::vector<PieceRows>* piece);

  std::vector<int32_t> ids_;
  std::vector<TokenPlace> at_;
  std::vector<Run> runs_;
  std::vector<std::vector<PieceRows>> pieces_;
};

}  // namespace longspan
