// Late interaction: how similar a question is to passages of a text, token by token (MaxSim;
// ColBERT, arXiv 2004.12832, sec. 3.3):
//
//   score(passage) = weighted mean over the question's tokens of the largest cosine with a token of
//                    the passage
//
// A passage is `passage_tokens` tokens, and one begins every `stride_tokens`; the last one ends
// with the text. Where the stride is shorter than a passage they overlap, so that a fact that lies
// across a border is whole in one of them; that costs nothing, since each cosine is computed once.
//
// Cost O(tokens · question tokens · width) with int8 sums (core/kernels/max_sim.h). Proven by
// late_interaction_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/kernels/max_sim.h"
#include "core/search/token_matrix.h"

namespace longspan {

struct PassageOptions {
  int64_t passage_tokens = 64;  // >= stride_tokens
  int64_t stride_tokens = 32;   // >= 1; divides passage_tokens
};

// A question, ready to be compared.
class LateQuestion {
 public:
  // `rows`: [tokens, width], finite, of any length. `weights`: one for each token, >= 0, not all
  // zero; empty = all alike.
  LateQuestion(const float* rows, int64_t tokens, int64_t width,
               std::span<const float> weights = {});

  int64_t tokens() const { return packed_.tokens; }
  const kernels::PackedQuestion& packed() const { return packed_; }
  // They sum to 1.
  std::span<const float> weights() const { return weights_; }

 private:
  kernels::PackedQuestion packed_;
  std::vector<float> weights_;
};

struct Passage {
  int64_t begin = 0, end = 0;  // rows of the matrix
  float score = 0.0f;          // of the question, from -1 to 1
};

// All passages of rows [begin, end) of the text, in order: those of its own tokens, without the
// special ones and a prompt. None where there are no rows.
std::vector<Passage> ScorePassages(const LateQuestion& question, const TokenMatrix& text,
                                   int64_t begin, int64_t end, const PassageOptions& options = {});

// The largest cosine of each token of the question with rows [begin, end) of the text: what a
// passage's score is made of.
std::vector<float> BestCosines(const LateQuestion& question, const TokenMatrix& text, int64_t begin,
                               int64_t end);

}  // namespace longspan
