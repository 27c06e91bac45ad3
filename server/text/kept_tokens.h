// KeptTokens: which tokens of a text one of its pieces holds, and the way from a token of the text
// to its place in the piece. A piece is the prefix, one or two ranges of the body (truncation.h),
// and the suffix, in the text's order:
//
//   [CLS] b0 b1 b2 b3 b4 [SEP], of which HEAD_TAIL keeps b0 b1 and b4:
//   place in the text     0  1  2  3  4  5  6
//   place in the piece    0  1  2        3  4      Map({2, 6}) = {2, 4}
//
// A plain value: const methods may be called from several threads. Proven by kept_tokens_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/token_batch.h"
#include "server/text/token_layout.h"

namespace longspan {

class KeptTokens {
 public:
  // `body`: one or two ranges of the layout's body, ascending, in tokens of the whole text.
  KeptTokens(const TokenLayout& layout, const std::vector<TokenRange>& body);

  int64_t size() const;  // tokens of the piece
  // From the first to the last token of the body that is kept, in tokens of the whole text.
  TokenRange body() const { return {kept_[1].begin, kept_[kept_.size() - 2].end}; }

  // The first token of the piece behind those that are left out in the middle of the body
  // (HEAD_TAIL); 0 = there are none.
  int64_t gap() const;

  // Where the tokens of `range` of the text lie in the piece. One range, because what is kept keeps
  // its order; empty where nothing of `range` is kept.
  TokenRange Map(TokenRange range) const;
  // The same for ranges that ascend and do not overlap, without those of which nothing is kept.
  // Costs O(log ranges) and what it gives.
  std::vector<TokenRange> MapAll(std::span<const TokenRange> ranges) const;
  // The ids (or types) of the piece, out of those of the whole text.
  std::vector<int32_t> Ids(const std::vector<int32_t>& ids) const;

 private:
  std::vector<TokenRange> kept_;  // prefix, the ranges of the body, suffix
};

}  // namespace longspan
