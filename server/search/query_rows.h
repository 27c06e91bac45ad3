// QueryRows: the token vectors of a question that are compared, and what each counts: those of its
// own tokens, or with QueryWeights::kAllTokens all that the model made of it.
//
//   QueryRows query(QueryWeights::kIdf, width);
//   query.Want(&input);                  before it is submitted
//   query.Prepare(input, prepared);      before it is queued
//   LateQuestion question = query.Take();   once it is encoded; the rows are freed
//   query.Weights(rarity)                once all documents are known
//   query.places()                       where each token stands in the question
//
// Thread safety: none of its own; the steps follow one another. Proven by search_test.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/search/late_interaction.h"
#include "core/search/token_weights.h"
#include "server/search/search_request.h"
#include "server/search/text_rows.h"
#include "server/text/prepared_text.h"

namespace longspan {

class QueryRows {
 public:
  QueryRows(QueryWeights weights, int64_t width) : weights_(weights), width_(width) {}

  void Want(EncodeInput* input);
  // INVALID_ARGUMENT where there is no token to compare.
  absl::Status Prepare(const EncodeInput& input, const PreparedText& prepared);
  LateQuestion Take();

  // Of the tokens that are compared.
  int64_t num_tokens() const { return static_cast<int64_t>(ids_.size()); }
  std::span<const int32_t> ids() const { return ids_; }
  // Empty for a token that the question does not hold: a special one, or one of the expansion.
  std::span<const TokenPlace> places() const { return places_; }
  // With the sum 1. `rarity`: of ids().
  std::vector<float> Weights(const TokenRarity& rarity) const;

 private:
  // Rows of all tokens of a piece; those of a skip list never come.
  struct AllRows {
    std::vector<float> values;
    std::vector<bool> came;
  };

  bool all_tokens() const { return weights_ == QueryWeights::kAllTokens; }

  const QueryWeights weights_;
  const int64_t width_;
  std::shared_ptr<TextRows> own_;
  std::shared_ptr<AllRows> all_;
  std::vector<int32_t> ids_;
  std::vector<TokenPlace> places_;
  std::vector<bool> is_word_;
};

}  // namespace longspan
