// Weights of a question's tokens: how much each counts in late interaction. A rare token says more
// than one that stands everywhere, so its weight is its IDF over blocks of the texts at hand
// (cells.h), with the smoothing of BM25 (bm25.h):
//
//   weight(t) = ln(1 + (N - n + 0.5) / (n + 0.5))     N blocks, of which n hold the token's id
//
//   TokenRarity rarity(question_ids);
//   rarity.Count(ids of a text, kCellTokens);    once for each text, or each part of one
//   rarity.Weights(counts)                       with the sum 1
//
// Thread safety: none; each thread may count its own, and Add joins them. Proven by
// token_weights_test.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace longspan {

class TokenRarity {
 public:
  explicit TokenRarity(std::span<const int32_t> question_ids);

  // `ids`: tokens that stand one behind the other in a text, without special ones and a prompt.
  void Count(std::span<const int32_t> ids, int64_t cell_tokens);
  // `other` is of the same question.
  void Add(const TokenRarity& other);
  // As Count, of blocks that were counted before: `holding` is one number for each token of the
  // question, the blocks that hold its id, of `blocks` in all.
  void AddCounted(std::span<const int64_t> holding, int64_t blocks);

  int64_t blocks() const { return blocks_; }
  // Blocks that hold the token at this place of the question.
  int64_t holding(size_t token) const { return holding_[index_of_token_[token]]; }
  // One weight for each token of the question, with the sum 1. `is_word`: whether the token has a
  // letter or a digit; one without has the weight 0, unless none has.
  std::vector<float> Weights(const std::vector<bool>& is_word) const;

 private:
  std::vector<size_t> index_of_token_;               // into holding_
  std::unordered_map<int32_t, size_t> index_of_id_;  // of each id of the question
  std::vector<int64_t> holding_;                     // blocks that hold the id
  int64_t blocks_ = 0;
};

// All tokens with a letter or a digit alike; with the sum 1.
std::vector<float> EqualWeights(const std::vector<bool>& is_word);

}  // namespace longspan
