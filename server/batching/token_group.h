// TokenGroup: neighbouring token vectors of one text that become one, their mean (token pooling).
// It takes them one by one, in the text's order:
//
//   tokens   [CLS] one , two three [SEP]   "," is skipped by the model; groups of 2
//   groups   {[CLS] one} {two three} {[SEP]}
//
// A group ends where it is full, and in front of the gap that HEAD_TAIL leaves in a text. It keeps
// the rows as they come and sums them when it is taken, so neither the blocks in which a pass hands
// over its rows nor the batch that they ran in changes a bit of the mean. The mean of one row is
// that row.
//
// Source: Clavié, Chaffin and Adams, "Reducing the Footprint of Multi-Vector Retrieval with Minimal
// Performance Impact via Token Pooling", arXiv 2409.14683; of the ways to choose groups there this
// is the one by position. Not thread safe. Proven by token_group_test (against a reference in
// double).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model_info.h"
#include "server/text/encode_input.h"

namespace longspan {

struct TokenPooling {
  int32_t factor = 1;      // neighbours that become one; 1 = each stays
  bool normalize = false;  // the rows have length 1, and so shall their means
};

// What the request and its model say.
TokenPooling TokenPoolingOf(const EncodeInput& input, const ModelInfo& model);
// The rows that `tokens` tokens leave, or fewer where the model skips some. `gap`: as
// PreparedText::gap.
int64_t MostPooledRows(int64_t tokens, int64_t gap, int32_t factor);

class TokenGroup {
 public:
  explicit TokenGroup(TokenPooling pooling) : pooling_(pooling) {}

  // Tokens from this one on share no group with those before; 0 = there is no gap.
  void SetGap(int64_t token) { gap_ = token; }

  bool empty() const { return tokens_.empty(); }
  size_t width() const { return empty() ? 0 : rows_.size() / tokens_.size(); }  // of a row
  std::span<const int64_t> tokens() const { return tokens_; }                   // ascending
  // Whether the group, which is not empty, has to be taken before this token is added.
  bool EndsBefore(int64_t token) const;
  // May throw std::bad_alloc; the group is then as it was.
  void Add(int64_t token, std::span<const float> row);
  // Appends the mean, for which `out` has room, and empties the group.
  void TakeMean(std::vector<float>* out);

 private:
  const TokenPooling pooling_;
  int64_t gap_ = 0;
  std::vector<int64_t> tokens_;
  std::vector<float> rows_;  // [tokens, width]
};

}  // namespace longspan
