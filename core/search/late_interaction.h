// Late interaction: how similar a question is to passages of a text, token by token (MaxSim;
// ColBERT, arXiv 2004.12832, sec. 3.3):
//
//   score(passage) = weighted mean over the question's tokens of the largest cosine with a token of
//                    the passage
//
// Passages overlap (cells.h), so that a fact that lies across a border is whole in one of them. The
// largest cosine of each of the question's tokens is computed once a cell, and the passages follow
// from it: overlapping costs nothing, and the weights may be chosen when all texts are known.
//
//   CellCosines -> [cells, question tokens]    4 bytes each, for a text of any length
//   ScorePassages(cells, weights)              passages [0, 2 cells), [1 cell, 3 cells), ...
//   BestTokens(passage)                        which of its tokens made its score
//
// Cost O(tokens · question tokens · width) with int8 sums (core/kernels/max_sim.h). Proven by
// late_interaction_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/kernels/max_sim.h"
#include "core/search/cells.h"
#include "core/search/token_matrix.h"

namespace longspan {

// A question, ready to be compared.
class LateQuestion {
 public:
  // `rows`: [tokens, width], finite, of any length.
  LateQuestion(const float* rows, int64_t tokens, int64_t width);

  int64_t tokens() const { return packed_.tokens; }
  const kernels::PackedQuestion& packed() const { return packed_; }

 private:
  kernels::PackedQuestion packed_;
};

// The largest cosine of each token of the question with each `unit_rows` rows in a row, of which
// the last may be fewer: [units, question tokens].
void LargestCosines(const LateQuestion& question, const TokenMatrixView& rows, int64_t num_rows,
                    int64_t unit_rows, float* best);

// The largest cosine of each token of the question with each cell of rows [begin, end) of the text:
// [cells, question tokens]. A cell is `cell_tokens` rows, the last one may be shorter.
std::vector<float> CellCosines(const LateQuestion& question, const TokenMatrix& text, int64_t begin,
                               int64_t end, int64_t cell_tokens);

struct Passage {
  int64_t begin = 0, end = 0;  // rows of the text
  float score = 0.0f;          // of the question, from -1 to 1
};

// All passages of rows [begin, end) of the text, in order; none where there are no rows. `cells`:
// CellCosines of these rows.
// `weights`: one for each token of the question, >= 0, with the sum 1.
std::vector<Passage> ScorePassages(std::span<const float> cells, std::span<const float> weights,
                                   int64_t begin, int64_t end, int64_t cell_tokens);

// A token of the question, and the row of a passage that is most similar to it.
struct BestToken {
  int64_t token = 0;        // of the question
  int64_t row = 0;          // of the text; of those with the same cosine the first
  float similarity = 0.0f;  // their cosine
  float weight = 0.0f;      // of the question's token
};

// One for each token of the question with a weight above 0, in order, out of rows [begin, end) of
// the text; begin < end. The sum of their similarities, each times its weight, is what
// ScorePassages gives. `weights`: as there. Scratch: 64 cosines for each token of the question.
std::vector<BestToken> BestTokens(const LateQuestion& question, std::span<const float> weights,
                                  const TokenMatrix& text, int64_t begin, int64_t end);
// The same of rows that begin with those of the passage, and are counted from there.
std::vector<BestToken> BestTokens(const LateQuestion& question, std::span<const float> weights,
                                  const TokenMatrixView& rows, int64_t num_rows);

}  // namespace longspan
